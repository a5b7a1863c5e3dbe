"""Fused graphs of untrained detectors, run in ONNX Runtime against the detector in PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from json_values import at
from lively import (
    CLASSES,
    DEPLOY,
    assert_same_detections,
    detector,
    enlivened,
    nearest,
    rows,
    three_classes,
    write_photos,
)
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config
from mmengine.model import revert_sync_batchnorm
from onnx_parsers import complaints, complaints_of_all
from untrained import PAD, SIZE, Step, base_config, pipeline, run_export, variant, write_checkpoint

from mmdet_jetson.contract.parameters.export import ExportParameters, FusedParameters
from mmdet_jetson.stages import evaluate_checkpoint
from mmdet_jetson.stages.backends.onnxruntime import network_of
from mmdet_jetson.stages.building.quantization import SYMMETRIC, quantize
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.checkpoints.trained_model import load_trained_model
from mmdet_jetson.stages.conversion import trained_preprocessing
from mmdet_jetson.stages.conversion.fused_graph import fused_graph
from mmdet_jetson.stages.conversion.fused_preprocessing import INPUTS, preprocessing_graph
from mmdet_jetson.stages.conversion.post_processing import nms_limits
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.detector import FusedDetector, detector_of
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.graph import preprocessing_of, read_graph
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, read_picture

RTMDET = "rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
YOLOX = "yolox/yolox_tiny_8xb8-300e_coco.py"
EXPORTS = [("rtmdet", "image"), ("rtmdet", "tensor"), ("yolox", "letterboxed")]
MAPPED_BACK: Step = {
    "type": "PackDetInputs",
    "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
}


FUSED = FusedParameters("image", 1, "model", candidates=1000, rounds=30)
EXPORT = ExportParameters(
    "onnxruntime", "configs/deploy/detection_onnxruntime_static.py", SIZE, FUSED
)


def fuse(checkpoint: Path, folder: Path, fused: FusedParameters = FUSED) -> Path:
    """Run the stage for a fused graph."""
    return run_export(checkpoint, folder, replace(EXPORT, fused=fused))[0]


def described(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "graph.json").read_text())
    return content


def lively(config: Config, folder: Path) -> Path:
    """An untrained checkpoint that finds different things in different places."""
    checkpoint: Path = write_checkpoint(config, folder)
    random = torch.Generator().manual_seed(1)
    tiles = 255 * torch.rand(8, 3, 8, 8, generator=random)
    pictures = torch.nn.functional.interpolate(tiles, size=SIZE)
    model = enlivened(load_trained_model(checkpoint).network, pictures, random)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, str(checkpoint / "best.pth"))
    return checkpoint


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {}
    for name, base in (("rtmdet", RTMDET), ("yolox", YOLOX)):
        steps = [*pipeline(True, PAD)[:-1], MAPPED_BACK]
        config = three_classes(base_config(base, steps, folder))
        made[name] = lively(config, folder / name)
    return made


@pytest.fixture(scope="module")
def fused(
    checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """Give the export of a checkpoint with an input; an export takes seconds."""

    @lru_cache(None)
    def made(name: str, mode: str) -> Path:
        return fuse(checkpoints[name], tmp_path_factory.mktemp("job"), replace(FUSED, input=mode))

    return made


def exported_detector(folder: Path) -> FusedDetector:
    """Open what the stage wrote, as its graph.json says."""
    graph = read_graph(folder)
    network = network_of(onnxruntime.InferenceSession(str(folder / "end2end.onnx")))
    feeding = Feeding(preprocessing_of(folder, graph), graph.input, graph.batch)
    found = detector_of(graph, feeding, network, None)
    assert isinstance(found, FusedDetector)
    return found


def in_pytorch(checkpoint: Path) -> Callable[[Path], list[Detection]]:
    trained = load_trained_model(checkpoint)
    return evaluate_checkpoint.detector(trained.network, trained.config)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"))


def test_pytorch_convolves_in_full_precision(checkpoints: dict[str, Path]) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    in_pytorch(checkpoints["rtmdet"])
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("name", "mode"), EXPORTS)
def test_it_detects_what_pytorch_detects(
    name: str,
    mode: str,
    checkpoints: dict[str, Path],
    fused: Callable[[str, str], Path],
    photos: list[Path],
) -> None:
    ours, theirs = exported_detector(fused(name, mode)), in_pytorch(checkpoints[name])
    assert_same_detections(ours, theirs, photos)


@pytest.mark.parametrize(
    ("base", "mode"),
    [
        ("rtmdet/rtmdet_s_8xb32-300e_coco.py", "image"),
        ("rtmdet/rtmdet_m_8xb32-300e_coco.py", "letterboxed"),
        ("rtmdet/rtmdet_l_8xb32-300e_coco.py", "image"),
        ("yolox/yolox_s_8xb8-300e_coco.py", "tensor"),
    ],
)
def test_larger_ones_detect_what_they_do_in_pytorch(
    base: str, mode: str, photos: list[Path], tmp_path: Path
) -> None:
    """RTMDet-m and -l take the exponential of what they regress, where tiny and s do not.

    The last photo is left out: on it these untrained ones amplify rounding, so that boxes in float32
    are 0.03 pixels of the input away from those in float64.
    """
    steps = [*pipeline(True, PAD)[:-1], MAPPED_BACK]
    config = three_classes(base_config(base, steps, tmp_path))
    register_all_modules()
    torch.manual_seed(0)
    prepared = trained_preprocessing.trained_preprocessing(
        trained_preprocessing.test_pipeline(config, SIZE), config.model.data_preprocessor, SIZE
    )
    pictures = np.stack([prepared.resize(read_picture(path)) for path in photos])
    seen = torch.from_numpy(pictures.transpose(0, 3, 1, 2)).float()
    random = torch.Generator().manual_seed(1)
    model = enlivened(revert_sync_batchnorm(MODELS.build(config.model)), seen, random)
    fused = replace(FUSED, input=mode)
    limits = nms_limits(model, DEPLOY, fused)
    graph = fused_graph(model, fused, prepared, limits).model.SerializeToString()
    ours = detector(graph, prepared, fused, limits.keep, limits.candidates)
    assert_same_detections(ours, evaluate_checkpoint.detector(model, config), photos[:3])


@pytest.mark.parametrize(("name", "mode"), [("rtmdet", "letterboxed"), ("yolox", "tensor")])
def test_pictures_that_share_a_batch_keep_their_detections(
    name: str, mode: str, checkpoints: dict[str, Path], photos: list[Path], tmp_path: Path
) -> None:
    pair = exported_detector(fuse(checkpoints[name], tmp_path, replace(FUSED, input=mode, batch=2)))
    assert_same_detections(pair, in_pytorch(checkpoints[name]), photos)


def test_graph_json_says_what_to_feed_and_what_is_inside(
    fused: Callable[[str, str], Path],
) -> None:
    graph = described(fused("yolox", "letterboxed"))
    assert at(graph, "preprocessing.keep_ratio") is True
    assert {
        key: graph[key] for key in graph if key not in ("preprocessing", "checkpoint", "onnx")
    } == {
        "graph": "fused",
        "backend": "onnxruntime",
        "opset": 13,
        "inputs": {"picture": [1, 128, 128, 3], "mapping": [1, 4]},
        "outputs": {"dets": [1, 100, 5], "labels": [1, 100], "nms": [1, 3]},
        "custom_ops": [],
        "post_processing": {
            "score_threshold": 0.01,
            "iou_threshold": 0.65,
            "keep": 100,
            "nms_pre": 1000,
            "rounds": 30,
            "from": "model",
        },
        "input": "letterboxed",
        "batch": 1,
        "folded": None,  # its first step takes the picture apart
        "classes": list(CLASSES),
        "input_size": [128, 128],
    }
    assert described(fused("rtmdet", "image"))["inputs"] == {"picture": [1, None, None, 3]}
    tensor = at(described(fused("rtmdet", "tensor")), "inputs")
    assert tensor == {"input": [1, 3, 128, 128], "mapping": [1, 4]}


def test_thresholds_are_the_models_or_the_deploy_configs(checkpoints: dict[str, Path]) -> None:
    def limits(name: str, source: str) -> tuple[object, ...]:
        network = load_trained_model(checkpoints[name]).network
        fused = FusedParameters("image", 1, source, candidates=512, rounds=9)
        return astuple(nms_limits(network, DEPLOY, fused))

    assert limits("rtmdet", "model") == (0.001, False, 0.65, 0.0, 300, 512, 9, False)
    assert limits("rtmdet", "deploy") == (0.05, False, 0.5, 0.0, 100, 512, 9, False)
    assert limits("yolox", "model") == (0.01, True, 0.65, None, 100, 512, 9, False)


def test_every_node_names_its_part_and_the_first_is_a_cast(
    fused: Callable[[str, str], Path],
) -> None:
    model = onnx.load(str(fused("rtmdet", "image") / "end2end.onnx"))
    parts = [node.name.partition("/")[0] for node in model.graph.node]
    assert list(dict.fromkeys(parts)) == ["preprocessing", "network", "nms"]
    readers = [node for node in model.graph.node if "picture" in node.input]
    assert [node.op_type for node in readers] == ["Cast"]
    assert {node.domain for node in model.graph.node} == {""}
    assert [o.version for o in model.opset_import] == [13]


@pytest.mark.parametrize("mode", INPUTS)
@pytest.mark.parametrize("name", ["rtmdet", "yolox"])
def test_every_tensorrt_documents_its_operators_and_their_types(
    name: str, mode: str, fused: Callable[[str, str], Path], photos: list[Path], tmp_path: Path
) -> None:
    """In FP32, in half precision, and from 10.0 on in 8 bits."""
    folder = fused(name, mode)
    assert not complaints_of_all(onnx.load(str(folder / "end2end.onnx")), mode)
    request = BuildRequest(
        folder / "end2end.onnx", tmp_path, "int8", read_graph(folder), calibration=photos[:1]
    )
    in_8_bits = onnx.load(str(quantize(request, SYMMETRIC, tmp_path / "int8.onnx")))
    assert "QuantizeLinear" in {node.op_type for node in in_8_bits.graph.node}
    assert not [each for v in ("10.3", "10.13") for each in complaints(in_8_bits, v)]


def test_two_exports_are_the_same_bytes(
    checkpoints: dict[str, Path], fused: Callable[[str, str], Path], tmp_path: Path
) -> None:
    again = fuse(checkpoints["rtmdet"], tmp_path)
    for path in fused("rtmdet", "image").iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("to_rgb", [False, True])
@pytest.mark.parametrize("keep_ratio", [False, True])
def test_its_preprocessing_is_opencvs(keep_ratio: bool, to_rgb: bool) -> None:
    wanted = Preprocessing(
        input_size=SIZE,
        keep_ratio=keep_ratio,
        pad_value=(114.0, 114.0, 114.0),
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
        to_rgb=to_rgb,
    )
    graph = preprocessing_graph("image", wanted, batch=1, folded=False)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    random = np.random.default_rng(0)
    deviation = np.array(wanted.std, np.float32).reshape(3, 1, 1)
    for height, width in ((96, 128), (97, 131), (33, 101), (7, 900), (1, 2000), (1, 1), (300, 2)):
        picture = random.integers(0, 256, (height, width, 3), np.uint8)
        values, mapping = session.run(None, {"picture": picture[None]})
        expected = wanted.format(wanted.normalize(wanted.resize(picture)))
        apart = np.abs(values - expected)[0] * deviation
        # Of a million values a few are 1 of 255 off, where float32 lost the bit that decides.
        assert apart.max() < 1.001
        assert np.count_nonzero(apart > 1e-3) <= 3
        resized = wanted.resized_size(width, height)
        ratios = [width / resized[0], height / resized[1]]
        assert mapping[0].tolist() == pytest.approx([*ratios, width, height])


def test_channel_order_and_deviation_are_folded_exactly(tmp_path: Path, photos: list[Path]) -> None:
    config = base_config(RTMDET, [*pipeline(True, PAD)[:-1], MAPPED_BACK], tmp_path)
    config.model.data_preprocessor.bgr_to_rgb = True
    checkpoint = lively(config, tmp_path / "checkpoint")
    ours = exported_detector(fuse(checkpoint, tmp_path, replace(FUSED, input="letterboxed")))
    found = rows(ours.detect(read_picture(photos[0])))
    expected = rows(in_pytorch(checkpoint)(photos[0]))
    assert len(found) == len(expected) > 5
    assert max(nearest(row, found) for row in expected) < 0.05


def soft_nms(config: Config) -> None:
    config.model.test_cfg.nms = {"type": "soft_nms", "iou_threshold": 0.65}


def test_another_nms_is_one_sentence(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    changed = variant(checkpoints["rtmdet"], tmp_path / "checkpoint", soft_nms)
    with pytest.raises(StageError, match="another NMS than the greedy one per class"):
        fuse(changed, tmp_path / "job")


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (
            replace(EXPORT, fused=replace(FUSED, batch=2)),
            "pictures of any size cannot share a batch",
        ),
        (replace(EXPORT, input_size=(160, 128)), "into a square only, not into 160x128"),
    ],
)
def test_what_an_image_input_cannot_do_is_one_sentence(
    wanted: ExportParameters, sentence: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(StageError, match=sentence):
        run_export(checkpoints["rtmdet"], tmp_path, wanted)
