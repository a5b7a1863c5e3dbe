"""The check before a training, run in environment `train`: what could not be deployed is refused."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from trainings import CLASSES, PARAMETERS, ROOT, SIDE

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.export import ExportParameters, FusedParameters
from mmdet_jetson.contract.parameters.train import ModelParameters, TrainingParts
from mmdet_jetson.stages import check
from mmdet_jetson.stages.checkpoints.trained_model import TrainedModel
from mmdet_jetson.stages.conversion.onnx_folder import write_onnx
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob

DEPLOY = {
    name: f"configs/deploy/detection_{name}_static.py" for name in ("onnxruntime", "tensorrt")
}
FUSED = FusedParameters("letterboxed", 1, "model", candidates=100, rounds=4)
MODEL = ModelParameters(PARAMETERS.config, {}, CLASSES, (SIDE, SIDE))
NO_PARTS = TrainingParts({}, has_weights=False)
PIPELINE = f"""
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=({SIDE}, {SIDE}), keep_ratio=True),
    dict(type='Pad', size=({SIDE}, {SIDE})),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
"""
ON_RTMDET = f"_base_ = '{ROOT}/{PARAMETERS.config}'\n"
RESIZES = "dict(type='Resize', scale=(64, 64)), dict(type='Resize', scale=(96, 96))"
SEVERAL_SCALES = f"""
steps = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[[{RESIZES}], [dict(type='PackDetInputs')]]),
]
test_dataloader = dict(dataset=dict(pipeline=steps))
"""


def export(backend: str = "onnxruntime", fused: bool = True) -> ExportParameters:
    return ExportParameters(backend, DEPLOY[backend], (SIDE, SIDE), FUSED if fused else None)


BOTH = {"documented": export(fused=False), "pc": export()}


def run(
    folder: Path,
    dataset: Path,
    config: str = "",
    exports: Mapping[str, ExportParameters] | None = None,
    *,
    model: ModelParameters = MODEL,
    device: str = "cpu",
    largest: Mapping[str, int] | None = None,
    kept: tuple[str, ...] = (),
) -> tuple[StageJob[CheckParameters], Result]:
    """Check a training config's source, or the demo's, for some exports by what they are for."""
    folder.mkdir(exist_ok=True)
    (folder / "config.py").write_text(config)
    for name in ("output", "work"):
        (folder / name).mkdir()
    if config:
        model = replace(model, config="config.py")
    inputs = {
        "dataset": dataset,
        "config": folder if config else ROOT,
        **dict.fromkeys(DEPLOY, ROOT),
    }
    parameters = CheckParameters(
        device, model, NO_PARTS, exports or {"pc": export()}, largest or {}, kept
    )
    job = StageJob(parameters, inputs, folder / "output", folder / "work", channel=io.StringIO())
    return job, check.run(job)


def refused(
    folder: Path,
    dataset: Path,
    config: str,
    exports: Mapping[str, ExportParameters] | None = None,
) -> StageError:
    with pytest.raises(StageError) as caught:
        run(folder, dataset, config, exports)
    return caught.value


def mmdet(base: str) -> str:
    return f"_base_ = 'mmdet::{base}'\n{PIPELINE}"


def test_what_can_be_deployed_passes_and_leaves_what_is_rehearsed_with(
    tmp_path: Path, dataset: Path
) -> None:
    wanted = {**BOTH, "orin": export("tensorrt", fused=False)}
    job, result = run(tmp_path, dataset, exports=wanted, kept=("pc",))
    assert result.metrics == {"exports": 3, "pictures": 6}
    assert json.loads((job.output / "check.json").read_text()) == {
        "model": "RTMDet with RTMDetSepBNHead",
        "exports": ["pc", "orin", "documented"],
        "pictures": 6,
    }
    assert list(tmp_path.rglob("*.onnx")) == [job.output / "export-pc/end2end.onnx"]
    assert list(job.work.iterdir()) == []
    (names,) = json.loads((job.output / "sizes.json").read_text())
    assert "smallest" in names


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            mmdet("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"),
            "FasterRCNN is a two-stage detector",
        ),
        (mmdet("detr/detr_r50_8xb2-150e_coco.py"), "DETR with DETRHead cannot be fused"),
        (
            mmdet("rpn/rpn_r50_fpn_1x_coco.py")
            + "val_evaluator = test_evaluator = dict(metric='bbox')\n",
            "RPN proposes regions and does not tell what is in them",
        ),
    ],
    ids=["faster-rcnn", "detr", "rpn"],
)
def test_a_detector_of_two_stages_or_without_scores_is_refused(
    tmp_path: Path, dataset: Path, config: str, message: str
) -> None:
    error = refused(tmp_path, dataset, config)
    assert list((tmp_path / "work").iterdir()) == [], "random weights are no evidence"
    assert error.message.startswith("an engine for pc could not be made after this training: ")
    assert re.search(message, error.message)


def test_what_neither_graph_can_be_made_of_is_not_sent_to_the_other(
    tmp_path: Path, dataset: Path
) -> None:
    config = mmdet("centernet/centernet_r18_8xb16-crop512-140e_coco.py")
    alone = refused(tmp_path / "1", dataset, config)
    both = refused(tmp_path / "2", dataset, config, BOTH)
    assert alone.message == both.message
    assert 'graph = "documented"' in alone.hint
    assert both.hint == check.NO_GRAPH


@pytest.mark.parametrize("graph", ["fused", "documented"])
def test_soft_nms_is_refused(tmp_path: Path, dataset: Path, graph: str) -> None:
    """An engine has the greedy one, and would detect otherwise."""
    soft = (
        "model = dict(test_cfg=dict(nms=dict(_delete_=True, type='soft_nms', iou_threshold=0.6)))"
    )
    error = refused(tmp_path, dataset, ON_RTMDET + soft, {"pc": export(fused=graph == "fused")})
    assert "soft_nms" in error.message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ON_RTMDET + SEVERAL_SCALES, "has no Resize to one size"),
        (
            mmdet("retinanet/retinanet_r18_fpn_1x_coco.py").replace(
                "    dict(type='Pad'", "    dict(type='RandomFlip', prob=0.5),\n    dict(type='Pad'"
            ),
            "the test pipeline has a RandomFlip, which an engine cannot perform",
        ),
    ],
    ids=["several-scales", "flip"],
)
def test_a_test_pipeline_of_no_engine_is_refused(
    tmp_path: Path, dataset: Path, config: str, message: str
) -> None:
    assert message in refused(tmp_path, dataset, config).message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("keep_ratio=True", "keep_ratio=True, backend='pillow'", "Resize has backend = 'pillow'"),
        ("keep_ratio=True", "interpolation='bicubic'", "Resize has interpolation = 'bicubic'"),
        ("type='Pad'", "type='Pad', padding_mode='reflect'", "Pad has padding_mode = 'reflect'"),
        (
            "ImageFromFile'",
            "ImageFromFile', color_type='grayscale'",
            "has color_type = 'grayscale'",
        ),
    ],
)
def test_an_option_that_an_engine_does_not_have_is_refused_of_a_fused_graph(
    tmp_path: Path, dataset: Path, old: str, new: str, message: str
) -> None:
    """No documented graph is made that would find it."""
    config = mmdet("retinanet/retinanet_r18_fpn_1x_coco.py").replace(old, new)
    error = refused(tmp_path, dataset, config)
    assert message in error.message
    assert "test pipeline" in error.hint


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("test_cfg=dict(score_thr='high')", "score_thr of the model's test_cfg"),
        ("test_cfg=dict(score_thr=1.5)", "is 1.5, not a number from 0 to 1"),
        ("test_cfg=dict(nms_pre='many')", "nms_pre of the model's test_cfg"),
        ("test_cfg=dict(nms=dict(iou_threshold=7))", "nms.iou_threshold of the model's test_cfg"),
        ("test_cfg=dict(max_per_img=0)", "keeps no detection"),
        ("data_preprocessor=dict(mean=[1.0], std=[1.0])", "not one number for each of 3 channels"),
        ("data_preprocessor=dict(std=[0, 0, 0])", "each channel is divided by its own"),
    ],
)
def test_a_value_that_is_none_is_a_sentence(
    tmp_path: Path, dataset: Path, model: str, message: str
) -> None:
    assert message in refused(tmp_path, dataset, ON_RTMDET + f"model = dict({model})\n").message


def test_a_head_whose_training_needs_another_package_is_refused(
    tmp_path: Path, dataset: Path
) -> None:
    assert "scikit-learn" in refused(tmp_path, dataset, mmdet("paa/paa_r50_fpn_1x_coco.py")).message


def test_a_limit_below_zero_keeps_all(tmp_path: Path, dataset: Path) -> None:
    run(tmp_path, dataset, ON_RTMDET + "model = dict(test_cfg=dict(max_per_img=-1))\n")


def test_what_mmdeploy_stumbles_over_is_a_sentence(tmp_path: Path, dataset: Path) -> None:
    config = mmdet("sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py")
    assert "two-stage" in refused(tmp_path / "1", dataset, config, BOTH).message
    documented = {"orin": export("tensorrt", fused=False)}
    assert "MMDeploy" in refused(tmp_path / "2", dataset, config, documented).message


def turned(dataset: Path, folder: Path, split: str) -> Path:
    """The annotations of a dataset with a portrait picture in one split."""
    folder.mkdir()
    for name in ("train", "val"):
        content = json.loads((dataset / f"{name}.json").read_text())
        for image in content["images"]:
            image.update(width=40, height=30)
        if name == split:
            content["images"][1].update(width=30, height=40)
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(("split", "count"), [("val", 2), ("train", 4)])
def test_a_portrait_picture_in_a_wide_network_is_refused(
    tmp_path: Path, dataset: Path, split: str, count: int
) -> None:
    data = turned(dataset, tmp_path / "data", split)
    wide = replace(MODEL, input_size=(96, 64))
    with pytest.raises(StageError) as caught:
        run(tmp_path, data, model=wide)
    assert caught.value.message.startswith(
        f"1 of {count} pictures of the {split} split do not fit, 2.ppm first: a picture of 30x40"
    )


def test_pictures_that_no_engine_sees_may_have_any_shape(tmp_path: Path, dataset: Path) -> None:
    data = turned(dataset, tmp_path / "data", "train")
    (data / "train.json").unlink()
    wide = replace(MODEL, input_size=(96, 64))
    wanted = replace(export(), input_size=(96, 64))
    _, result = run(tmp_path, data, model=wide, exports={"pc": wanted})
    assert result.metrics["pictures"] == 2


@pytest.mark.parametrize(
    ("largest", "size", "fits"),
    [(48, (48, 32), True), (47, (48, 32), False), (48, (48, 31), False)],
)
def test_a_validation_picture_of_a_size_that_an_engine_does_not_take_is_refused(
    tmp_path: Path, dataset: Path, largest: int, size: tuple[int, int], fits: bool
) -> None:
    """It would be found out when the engine is measured, and the training is over."""
    (tmp_path / "data").mkdir()
    content = json.loads((dataset / "val.json").read_text())
    for image, (width, height) in zip(content["images"], [(40, 40), size]):
        image.update(width=width, height=height)
    (tmp_path / "data/val.json").write_text(json.dumps(content))
    if fits:
        assert run(tmp_path, tmp_path / "data", largest={"nano": largest})[1].metrics
        return
    with pytest.raises(StageError, match=r"1 of 2 .* do not fit the engine for nano") as caught:
        run(tmp_path, tmp_path / "data", largest={"nano": largest})
    assert f"{size[0]}x{size[1]} pixels, and a side may have 32 to {largest}" in str(caught.value)


def test_what_mmdeploy_alone_cannot_write_need_not_be_compared(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: TrainedModel, wanted: ExportParameters, deploy: Path, folder: Path) -> None:
        if not wanted.fused:
            raise StageError("MMDeploy 1.0.0 cannot", "so what")
        write_onnx(model, wanted, deploy, folder)

    monkeypatch.setattr(check, "write_onnx", refuse)
    error = refused(tmp_path, dataset, "", BOTH)
    assert error.message == (
        "the documented graph, which engines are compared with, could not be made after this "
        "training: MMDeploy 1.0.0 cannot"
    )
    assert "compare_documented = false" in error.hint


def test_a_gpu_that_is_not_there_is_missed_at_once(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(StageError, match="there is no GPU that PyTorch can use"):
        run(tmp_path, dataset, device="cuda")
