"""Exports of untrained detectors, run in environment `train`: no dataset, no GPU needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from json_values import at
from mmdeploy.apis.utils import utils as mmdeploy_guards
from mmdeploy.apis.utils.utils import check_backend_device
from mmengine import Config
from untrained import (
    PACK,
    PAD,
    ROOT,
    SIZE,
    Step,
    base_config,
    pipeline,
    run_export,
    variant,
    write_checkpoint,
)

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.stages.conversion import documented_graph
from mmdet_jetson.stages.conversion.deploy_config import load_deploy_config
from mmdet_jetson.stages.conversion.onnx_graph import read_documented_graph
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

CONFIGS = {
    backend: f"configs/deploy/detection_{backend}_static.py"
    for backend in ("onnxruntime", "tensorrt")
}

DOCUMENTED_ONNX = {
    "type": "onnx",
    "export_params": True,
    "keep_initializers_as_inputs": False,
    "opset_version": 11,
    "save_file": "end2end.onnx",
    "input_names": ["input"],
    "output_names": ["dets", "labels"],
    "input_shape": [640, 640],
    "optimize": True,
}
DOCUMENTED_CODEBASE = {
    "type": "mmdet",
    "task": "ObjectDetection",
    "model_type": "end2end",
    "post_processing": {
        "score_threshold": 0.05,
        "confidence_threshold": 0.005,
        "iou_threshold": 0.5,
        "max_output_boxes_per_class": 200,
        "pre_top_k": 5000,
        "keep_top_k": 100,
        "background_label_id": -1,
    },
}
DOCUMENTED_BACKEND: dict[str, dict[str, object]] = {
    "onnxruntime": {"type": "onnxruntime"},
    "tensorrt": {
        "type": "tensorrt",
        "common_config": {"fp16_mode": False, "max_workspace_size": 1073741824},
        "model_inputs": [
            {
                "input_shapes": {
                    "input": {
                        "min_shape": [1, 3, 640, 640],
                        "opt_shape": [1, 3, 640, 640],
                        "max_shape": [1, 3, 640, 640],
                    }
                }
            }
        ],
    },
}


def run(
    checkpoint: Path,
    backend: str,
    folder: Path,
    *,
    size: tuple[int, int] = SIZE,
    deploy_config: str = "",
    config: Path = ROOT,
) -> tuple[Path, Result]:
    """Export the documented graph for a backend, with the shipped deploy config or another."""
    wanted = ExportParameters(backend, deploy_config or CONFIGS[backend], size, fused=None)
    return run_export(checkpoint, folder, wanted, config)


def read(folder: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / name).read_text())
    return content


def transforms(folder: Path) -> dict[str, dict[str, object]]:
    """The preprocessing by type; of two Pads the first, which is before Normalize."""
    listed = at(read(folder, "pipeline.json"), "pipeline.tasks.0.transforms")
    assert isinstance(listed, list)
    return {step["type"]: step for step in reversed(listed)}


@pytest.fixture(scope="module")
def rtmdet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rtmdet")
    base = "rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
    return write_checkpoint(base_config(base, pipeline(True, PAD), folder), folder / "checkpoint")


@pytest.fixture(scope="module")
def exported(rtmdet: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        backend: run(rtmdet, backend, tmp_path_factory.mktemp(backend) / "job")[0]
        for backend in CONFIGS
    }


@pytest.fixture
def traced_before(
    exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Stand a graph from before in for a trace, in tests of what is beside the graph."""

    def replay(backend: str) -> None:
        def copy(_image: object, folder: str, name: str, *_rest: object) -> None:
            shutil.copy(exported[backend] / name, folder)

        monkeypatch.setattr(documented_graph, "torch2onnx", copy)

    return replay


@pytest.mark.parametrize("backend", CONFIGS)
def test_deploy_config_is_the_documented_one(backend: str) -> None:
    config = load_deploy_config(ROOT / CONFIGS[backend], backend, (640, 640))
    assert {table: config[table] for table in config} == {
        "backend_config": DOCUMENTED_BACKEND[backend],
        "onnx_config": DOCUMENTED_ONNX,
        "codebase_config": DOCUMENTED_CODEBASE,
    }


def test_the_input_size_reaches_the_graph_and_the_tensorrt_profile() -> None:
    config = load_deploy_config(ROOT / CONFIGS["tensorrt"], "tensorrt", (320, 192))
    assert config.onnx_config.input_shape == [320, 192]
    profile = config.backend_config.model_inputs[0].input_shapes.input
    assert set(map(tuple, profile.values())) == {(1, 3, 192, 320)}


@pytest.mark.parametrize("backend", CONFIGS)
def test_the_artifact_is_complete_and_names_no_folder(
    exported: dict[str, Path], backend: str
) -> None:
    folder = exported[backend]
    assert sorted(path.name for path in folder.iterdir()) == [
        "deploy.json",
        "deploy_config.py",
        "detail.json",
        "end2end.onnx",
        "graph.json",
        "pipeline.json",
    ]
    for path in folder.iterdir():
        assert str(folder.parent).encode() not in path.read_bytes(), path.name
    detail = read(folder, "detail.json")
    assert at(detail, "codebase.pth") == "best.pth"
    assert at(detail, "codebase.config") == "config.py"
    suffix = {"onnxruntime": "onnx", "tensorrt": "engine"}[backend]
    assert at(read(folder, "deploy.json"), "models.0.net") == f"end2end.{suffix}"
    again = load_deploy_config(folder / "deploy_config.py", backend, SIZE)
    assert again.onnx_config.input_shape == list(SIZE)


def test_the_onnxruntime_graph_is_plain_onnx(rtmdet: Path, exported: dict[str, Path]) -> None:
    graph = read(exported["onnxruntime"], "graph.json")
    assert graph.pop("checkpoint") == {
        "sha256": sha256((rtmdet / "best.pth").read_bytes()).hexdigest()
    }
    onnx = exported["onnxruntime"] / "end2end.onnx"
    assert graph.pop("onnx") == {"sha256": sha256(onnx.read_bytes()).hexdigest()}
    assert graph == {
        "graph": "documented",
        "backend": "onnxruntime",
        "opset": 11,
        "inputs": {"input": [1, 3, 128, 128]},
        "outputs": {"dets": [None, None, None], "labels": [None, None]},
        "custom_ops": [],
        "post_processing": {
            "score_threshold": 0.001,
            "iou_threshold": 0.65,
            "keep": 200,
            "nms_pre": 336,
        },
        "classes": ["balloon"],
        "input_size": [128, 128],
    }


def test_the_tensorrt_graph_has_the_one_custom_operator(exported: dict[str, Path]) -> None:
    graph = read(exported["tensorrt"], "graph.json")
    assert graph["custom_ops"] == [
        {
            "domain": "mmdeploy",
            "name": "TRTBatchedNMS",
            "attributes": {
                "background_label_id": -1,
                "clip_boxes": 0,
                "iou_threshold": 0.65,
                "is_normalized": 0,
                "keep_topk": 200,
                "num_classes": 1,
                "return_index": 0,
                "score_threshold": 0.001,
                "topk": 5000,
            },
        }
    ]
    assert graph["post_processing"] == {
        "score_threshold": 0.001,
        "iou_threshold": 0.65,
        "keep": 200,
        "nms_pre": 5000,
    }


def test_with_more_classes_onnxruntime_keeps_more(exported: dict[str, Path]) -> None:
    graph = read_documented_graph(
        exported["onnxruntime"] / "end2end.onnx", "onnxruntime", classes=2
    )
    assert graph.post_processing.keep == 300


def test_two_exports_are_the_same_bytes(
    rtmdet: Path, exported: dict[str, Path], tmp_path: Path
) -> None:
    again, _ = run(rtmdet, "onnxruntime", tmp_path / "job")
    for path in exported["onnxruntime"].iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_mmdeploy_has_its_guard_back(exported: dict[str, Path]) -> None:
    config = load_deploy_config(ROOT / CONFIGS["tensorrt"], "tensorrt", SIZE)
    assert mmdeploy_guards.check_backend_device is check_backend_device
    with pytest.raises(ValueError, match="invalid for the backend tensorrt"):
        check_backend_device(config, "cpu")


@pytest.mark.parametrize("backend", CONFIGS)
def test_a_letterbox_stays_a_letterbox(exported: dict[str, Path], backend: str) -> None:
    steps = transforms(exported[backend])
    assert steps["Resize"] == {"type": "Resize", "size": [128, 128], "keep_ratio": True}
    assert steps["Pad"]["size"] == [128, 128]
    assert steps["Pad"]["pad_val"] == {"img": [114, 114, 114]}
    assert steps["Normalize"] == {
        "type": "Normalize",
        "to_rgb": False,
        "mean": [103.53, 116.28, 123.675],
        "std": [57.375, 57.12, 58.395],
    }


def with_pipeline(steps: list[Step]) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        # Only the loader's pipeline: it is the one that training validates with.
        config.test_dataloader.dataset.pipeline = steps

    return change


def test_a_stretch_stays_a_stretch(
    rtmdet: Path, tmp_path: Path, traced_before: Callable[[str], None]
) -> None:
    traced_before("onnxruntime")
    checkpoint = variant(rtmdet, tmp_path / "stretched", with_pipeline(pipeline(False)))
    folder, result = run(checkpoint, "onnxruntime", tmp_path / "job")
    steps = transforms(folder)
    assert steps["Resize"] == {"type": "Resize", "size": [128, 128], "keep_ratio": False}
    assert "size" not in steps["Pad"]
    assert result.warnings == ()


def test_what_the_data_preprocessor_pads_is_padded_behind_normalize(
    rtmdet: Path, tmp_path: Path, traced_before: Callable[[str], None]
) -> None:
    def without_pad(config: Config) -> None:
        with_pipeline(pipeline(True))(config)
        config.model.data_preprocessor.update({"pad_size_divisor": 32, "pad_value": 0.5})

    traced_before("onnxruntime")
    checkpoint = variant(rtmdet, tmp_path / "padded-later", without_pad)
    folder, _ = run(checkpoint, "onnxruntime", tmp_path / "job", size=(160, 128))
    listed = at(read(folder, "pipeline.json"), "pipeline.tasks.0.transforms")
    assert isinstance(listed, list)
    kinds = [step["type"] for step in listed]
    assert kinds[1:4] == ["Resize", "Normalize", "Pad"]
    assert listed[1]["keep_ratio"] is True
    assert listed[3] == {"type": "Pad", "size": [128, 160], "pad_val": 0.5}
    wanted = Preprocessing.read(folder / "pipeline.json", (160, 128))
    assert (wanted.pads_normalized, wanted.pad_value) == (True, (0.5, 0.5, 0.5))


def test_an_oblong_input_is_padded_in_the_sdks_order_and_warned_about(
    rtmdet: Path, tmp_path: Path, traced_before: Callable[[str], None]
) -> None:
    traced_before("onnxruntime")
    folder, result = run(rtmdet, "onnxruntime", tmp_path / "job", size=(160, 128))
    steps = transforms(folder)
    assert (steps["Resize"]["size"], steps["Pad"]["size"]) == ([160, 128], [128, 160])
    assert [warning.split(",")[0] for warning in result.warnings] == [
        "trained at 128x128",
        "MMDetection scales the longer side of a picture to 160",
    ]


def test_a_pipeline_left_as_mmdeploy_writes_it_fails(
    rtmdet: Path,
    tmp_path: Path,
    traced_before: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced_before("onnxruntime")
    monkeypatch.setattr(documented_graph, "mend_pipeline", lambda path, trained: None)
    with pytest.raises(StageError, match="keep_ratio is False, not True"):
        run(rtmdet, "onnxruntime", tmp_path / "job")


def test_yolox_exports_with_its_own_preprocessing(tmp_path: Path) -> None:
    config = base_config("yolox/yolox_tiny_8xb8-300e_coco.py", None, tmp_path)
    checkpoint = write_checkpoint(config, tmp_path / "checkpoint")
    folder, result = run(checkpoint, "onnxruntime", tmp_path / "job")
    steps = transforms(folder)
    assert steps["Resize"]["keep_ratio"] is True
    assert steps["Pad"]["size"] == [128, 128]
    assert "pad_to_square" not in steps["Pad"]
    assert (steps["Normalize"]["mean"], steps["Normalize"]["std"]) == ([0] * 3, [1] * 3)
    assert read(folder, "graph.json")["post_processing"] == {
        "score_threshold": 0.01,
        "iou_threshold": 0.65,
        "keep": 100,
        "nms_pre": 336,
    }
    assert result.warnings == ("trained at 416x416, exported at 128x128: accuracy may differ",)


def edited(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


BAD_DEPLOY_CONFIGS: dict[str, tuple[Callable[[str], str], str]] = {
    "not-python": (lambda _: "backend_config = {", "cannot be read: SyntaxError"),
    "raises": (lambda text: text + "\n1 / 0\n", "cannot be read: ZeroDivisionError"),
    "no-backend-table": (
        edited("backend_config =", "backend_cofnig ="),
        "no table backend_config .did you mean its backend_cofnig",
    ),
    "no-onnx-table": (edited("onnx_config =", "ir ="), "no table onnx_config"),
    "no-codebase-table": (edited("codebase_config =", "code ="), "no table codebase_config"),
    "table-is-text": (lambda text: text + "\nonnx_config = 'x'\n", "no table onnx_config"),
    "no-post-processing-key": (
        edited('"keep_top_k"', '"keep_topk"'),
        "no codebase_config.post_processing.keep_top_k .did you mean its keep_topk",
    ),
    "another-output": (edited('"labels"', '"scores"'), "onnx_config.output_names = "),
    "another-task": (edited('"ObjectDetection"', '"Segmentation"'), "codebase_config.task = "),
    "dynamic": (
        edited('"optimize": True', '"dynamic_axes": {"input": {0: "batch"}}'),
        "has onnx_config.dynamic_axes",
    ),
    "unknown-backend": (
        edited('"onnxruntime"', '"tensorflow"'),
        "an unknown backend, 'tensorflow'",
    ),
    "unsupported-backend": (edited('"onnxruntime"', '"ncnn"'), "'ncnn', which is not supported"),
    "other-backend": (edited('"onnxruntime"', '"tensorrt"'), "is for tensorrt, but the target"),
}


@pytest.mark.parametrize("defect", BAD_DEPLOY_CONFIGS)
def test_a_bad_deploy_config_is_one_sentence(defect: str, rtmdet: Path, tmp_path: Path) -> None:
    edit, sentence = BAD_DEPLOY_CONFIGS[defect]
    (tmp_path / "deploy.py").write_text(edit((ROOT / CONFIGS["onnxruntime"]).read_text()))
    with pytest.raises(StageError, match=sentence) as caught:
        run(rtmdet, "onnxruntime", tmp_path / "job", config=tmp_path, deploy_config="deploy.py")
    assert_sentence(caught.value)


def test_an_absent_deploy_config_is_one_sentence(rtmdet: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no deploy config absent\.py") as caught:
        run(rtmdet, "onnxruntime", tmp_path / "job", deploy_config="configs/deploy/absent.py")
    assert_sentence(caught.value)


@pytest.mark.parametrize("size", [(0, 128), (100, 128), (128, 130), (-32, 32)])
def test_an_input_size_off_the_stride_is_one_sentence(
    size: tuple[int, int], rtmdet: Path, tmp_path: Path
) -> None:
    with pytest.raises(StageError, match="is not a multiple of 32") as caught:
        run(rtmdet, "onnxruntime", tmp_path / "job", size=size)
    assert_sentence(caught.value)


def garble(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


def truncate_weights(folder: Path) -> None:
    content = (folder / "best.pth").read_bytes()
    (folder / "best.pth").write_bytes(content[: len(content) // 2])


def remove_weights(folder: Path) -> None:
    (folder / "best.pth").unlink()


def set_config(change: Callable[[Config], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        config = Config.fromfile(str(folder / "config.py"))
        change(config)
        config.dump(str(folder / "config.py"))

    return apply


def three_classes(config: Config) -> None:
    config.model.bbox_head.num_classes = 3


def unknown_head(config: Config) -> None:
    config.model.bbox_head.type = "NoSuchHead"


def no_classes(config: Config) -> None:
    config.test_dataloader.dataset.pop("metainfo")


def with_divisor(divisor: int) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        config.model.data_preprocessor.pad_size_divisor = divisor

    return change


BAD_CHECKPOINTS = {
    "weights-garbage": (garble("best.pth", b"no pickle"), "best.pth are not a PyTorch"),
    "weights-empty": (garble("best.pth", b""), "best.pth are an empty file"),
    "weights-truncated": (truncate_weights, "best.pth are a damaged or incomplete"),
    "weights-absent": (remove_weights, "the weights best.pth are missing"),
    "config-not-python": (garble("config.py", b"model = ("), "config.py cannot be read"),
    "config-without-model": (garble("config.py", b"x = 1\n"), "no test_dataloader"),
    "no-class-names": (set_config(no_classes), "metainfo with classes"),
    "other-classes": (set_config(three_classes), "best.pth does not match config.py: 6 of"),
    "unknown-head": (
        set_config(unknown_head),
        "cannot build the model of the checkpoint's config.py",
    ),
    "unknown-transform": (
        set_config(with_pipeline([*pipeline(True, PAD)[:2], {"type": "RandomFlip"}, PACK])),
        "has a RandomFlip, which an engine cannot perform",
    ),
    "pads-beyond-the-input": (
        set_config(with_divisor(48)),
        "128x128 is not a multiple of 48 in both directions, to which the model's",
    ),
    "no-resize": (
        set_config(with_pipeline([{"type": "LoadImageFromFile"}, PACK])),
        "needs one Resize",
    ),
}


@pytest.mark.parametrize("defect", BAD_CHECKPOINTS)
def test_a_bad_checkpoint_is_one_sentence(defect: str, rtmdet: Path, tmp_path: Path) -> None:
    spoil, sentence = BAD_CHECKPOINTS[defect]
    checkpoint = variant(rtmdet, tmp_path / "checkpoint", lambda config: None)
    spoil(checkpoint)
    with pytest.raises(StageError, match=sentence) as caught:
        run(checkpoint, "onnxruntime", tmp_path / "job")
    assert_sentence(caught.value)


def test_a_graph_for_another_backend_is_refused(exported: dict[str, Path]) -> None:
    for made, asked in (("onnxruntime", "tensorrt"), ("tensorrt", "onnxruntime")):
        with pytest.raises(StageError, match=f"is not a detector for {asked}"):
            read_documented_graph(exported[made] / "end2end.onnx", asked, classes=1)


def test_a_damaged_graph_is_one_sentence(exported: dict[str, Path], tmp_path: Path) -> None:
    content = (exported["onnxruntime"] / "end2end.onnx").read_bytes()
    (tmp_path / "end2end.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(StageError, match="is not valid ONNX") as caught:
        read_documented_graph(tmp_path / "end2end.onnx", "onnxruntime", classes=1)
    assert_sentence(caught.value)


def assert_sentence(error: StageError) -> None:
    assert "\n" not in error.message
    assert len(error.message) < 300
    assert error.hint


def test_a_head_that_cannot_be_traced_is_one_sentence(
    rtmdet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_arguments: object) -> None:
        raise NotImplementedError("Unsupported nms type: soft_nms.\nGraph: ...")

    monkeypatch.setattr(documented_graph, "torch2onnx", refuse)
    expected = (
        "cannot export RTMDet with RTMDetSepBNHead for tensorrt: "
        "NotImplementedError: Unsupported nms type: soft_nms.$"
    )
    with pytest.raises(StageError, match=expected) as caught:
        run(rtmdet, "tensorrt", tmp_path / "job")
    assert_sentence(caught.value)
    assert "Traceback" in capsys.readouterr().err
