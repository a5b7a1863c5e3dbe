"""What each TensorRT is told about precision, and what is made of its answer."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
from fused import fused_folder, fused_model, split_folder
from onnx import TensorProto, helper, numpy_helper
from tensorrt_apis import VERSIONS, graph_of, record_of, tensorrt_api
from tensorrt_engines import FakeCuda

from mmdet_jetson.contract.parameters.engine import BuilderSettings
from mmdet_jetson.stages.backends import Backend
from mmdet_jetson.stages.building import tensorrt_calibrator, tensorrt_precision
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference import device, gpu
from mmdet_jetson.stages.inference.graph import read_graph

MODULE = "mmdet_jetson.stages.backends.tensorrt"
WITH_FLAGS = [version for version in VERSIONS if version.startswith("8")]
WITH_8_BIT_INPUT = ["8.5.2.2", "8.6.2.3"]
Load = Callable[..., Backend]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import the backend on a Jetson with a given TensorRT."""

    def load(version: str, dla_cores: int = 2) -> Backend:
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_api(version, dla_cores))
        monkeypatch.delitem(sys.modules, MODULE, raising=False)
        monkeypatch.setattr(device, "gpu_architecture", lambda: 87)
        monkeypatch.setattr(tensorrt_calibrator, "open_cuda", FakeCuda)
        monkeypatch.setattr(gpu, "open_cuda", FakeCuda)
        return cast("Backend", importlib.import_module(MODULE))

    yield load
    sys.modules.pop(MODULE, None)


def detector(*, takes_pictures: bool = False) -> onnx.ModelProto:
    """A fused graph whose NMS also compares, makes whole numbers and asks how large something is.

    ``scaled`` and ``shape`` are FLOAT [1, 2, 4] and INT64 [4]; what is added is read by nothing.
    """
    model = fused_model()
    if not takes_pictures:
        del model.graph.node[:3]
        model.graph.input[0].CopyFrom(
            helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 64, 64])
        )
    limit = np.array([0.5], np.float32)
    model.graph.initializer.append(numpy_helper.from_array(limit, "nms/limit"))
    model.graph.node.extend(
        [
            helper.make_node(
                "Greater", ["scaled", "nms/limit"], ["overlaps"], name="nms/Greater_20"
            ),
            helper.make_node(
                "Cast", ["scaled"], ["numbers"], name="nms/Cast_21", to=TensorProto.INT32
            ),
            helper.make_node("Shape", ["logits"], ["shape"], name="nms/Shape_22"),
            helper.make_node(
                "Cast", ["shape"], ["sizes"], name="nms/Cast_23", to=TensorProto.FLOAT
            ),
            helper.make_node("Mul", ["sizes", "nms/limit"], ["halves"], name="nms/Mul_24"),
            helper.make_node(
                "Cast", ["halves"], ["side"], name="nms/Cast_25", to=TensorProto.INT64
            ),
            helper.make_node(
                "Cast", ["numbers"], ["places"], name="nms/Cast_27", to=TensorProto.FLOAT
            ),
            helper.make_node("Expand", ["nms/limit", "side"], ["wide"], name="nms/Expand_26"),
        ]
    )
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., BuildRequest]:
    def ask(precision: str, model: onnx.ModelProto | None = None, **settings: int) -> BuildRequest:
        model = model or detector()
        source = fused_folder(tmp_path / "onnx")
        training = split_folder(tmp_path / "training", "train", [1, 2, 3])
        onnx.save(model, str(source / "end2end.onnx"))
        takes_pictures = model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
        graph = json.loads((source / "graph.json").read_text())
        graph["input"] = "letterboxed" if takes_pictures else "tensor"
        graph["inputs"] = [value.name for value in model.graph.input]
        (tmp_path / "engine").mkdir()
        (tmp_path / "engine/graph.json").write_text(json.dumps(graph))
        return BuildRequest(
            onnx=source / "end2end.onnx",
            folder=tmp_path / "engine",
            precision=precision,
            graph=read_graph(tmp_path / "engine"),
            calibration=sorted((training / "train").iterdir()),
            settings=BuilderSettings(**settings),
        )

    return ask


Ask = Callable[..., BuildRequest]


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_every_layer_with_floats_is_bound_but_those_that_compute_shapes(
    backend: Load, asked: Ask, version: str
) -> None:
    built = backend(version).build(asked("fp16"))

    record = record_of(built.file.read_bytes())
    bound = set(record["fp32"])
    # Compared in half precision, and whole numbers above 2048 from it, would be others.
    assert {"nms/Greater_20", "nms/Cast_21", "nms/boxes", "network/sigmoid"} <= bound
    assert "nms/Expand_26" in bound  # it reads a shape behind its numbers
    assert not bound & {"nms/Shape_22", "nms/Cast_23", "nms/Mul_24", "nms/Cast_25"}
    assert "nms/limit" not in bound  # a constant
    assert "nms/Greater_20" not in record["outputs"]  # booleans
    assert "nms/Cast_27" in record["outputs"]  # in half precision, numbers above 2048 are inexact
    assert "nms/Cast_27" not in bound  # computed in whole numbers
    assert {"nms/boxes", "network/sigmoid"} <= set(record["outputs"])
    assert built.settings["bound_to_fp32"] == len(bound | set(record["outputs"]))


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_what_the_parser_adds_goes_with_what_reads_it(
    backend: Load, asked: Ask, version: str
) -> None:
    model = detector()
    model.graph.node.insert(
        0, helper.make_node("Mul", ["input", "nms/limit"], ["dark"], name="network/Mul_30")
    )
    next(node for node in model.graph.node if node.name == "network/conv_0").input[0] = "dark"

    built = backend(version).build(asked("fp16", model))

    layers = json.loads(record_of(built.file.read_bytes())["layers"], strict=False)["Layers"]
    added = [layer["Name"] for layer in layers if "Unnamed" in layer["Name"]]
    bound = record_of(built.file.read_bytes())["fp32"]
    assert added
    assert added[0] not in bound  # it broadcasts for a node of the network
    assert set(added[1:]) & set(bound)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_layers_are_listed_and_seen_to_be_exact(
    backend: Load, asked: Ask, tmp_path: Path, version: str, precision: str
) -> None:
    built = backend(version).build(asked(precision))

    layers = json.loads((tmp_path / "engine/layers.json").read_text())["Layers"]
    assert any(layer["Name"] == "nms/boxes" for layer in layers)
    seen = built.settings["exact_layers"]
    assert isinstance(seen, int)
    assert seen >= 6
    assert not built.doubts


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_a_tensorrt_that_keeps_no_precision_is_found_out(
    backend: Load, asked: Ask, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(tensorrt_precision, "bind_to_fp32", lambda *_: 0)

    with pytest.raises(StageError, match=r"computes (nms|network)/\S+ in a lower precision"):
        backend(version).build(asked("fp16"))


def test_a_listing_that_tells_nothing_is_a_doubt(
    backend: Load, asked: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = backend("8.6.2.3")
    monkeypatch.setattr("tensorrt_apis.Inspector.get_engine_information", lambda *_: "{broken")

    built = trt.build(asked("fp16"))

    assert "was not seen" in built.doubts[0]
    assert (tmp_path / "engine/layers.json").read_text() == "{broken"


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_the_last_convolutions_are_never_in_8_bits(backend: Load, asked: Ask, version: str) -> None:
    request, trt = asked("fp16"), backend(version)
    half = record_of(trt.build(request).file.read_bytes())
    quantized = record_of(trt.build(replace(request, precision="int8")).file.read_bytes())

    assert half["fp16"] == []
    assert quantized["fp16"] == ["network/conv_1"]
    assert half["fp32"] == quantized["fp32"]


@pytest.mark.parametrize("version", WITH_8_BIT_INPUT)
def test_a_graph_that_takes_pictures_is_calibrated_by_its_twin_that_takes_floats(
    backend: Load, asked: Ask, tmp_path: Path, version: str
) -> None:
    built = backend(version).build(asked("int8", detector(takes_pictures=True)))

    engine = built.file.read_bytes()
    assert graph_of(engine).input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert record_of(engine)["calibrated"] == 0  # it took what its twin had learnt
    assert (tmp_path / "engine/calibration.cache").read_bytes() == b"ranges"
    assert sorted(path.name for path in (tmp_path / "engine").iterdir()) == [
        "builder.log", "calibration.cache", "engine.plan", "graph.json", "layers.json",
        "timing.cache",
    ]  # fmt: skip


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_what_gets_nan_is_refused_before_calibration(
    backend: Load, asked: Ask, version: str
) -> None:
    model = detector()
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "nms/zero")
    model.graph.initializer.append(zero)
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["scaled", "nms/zero"], ["nothing"], name="nms/Mul_30"),
            helper.make_node("Div", ["nothing", "nothing"], ["iou"], name="nms/Div_31"),
        ]
    )

    with pytest.raises(StageError, match="iou in the graph gets infinite or NaN"):
        backend(version).build(asked("int8", model))


def test_without_pictures_there_is_nothing_to_calibrate_with(backend: Load, asked: Ask) -> None:
    with pytest.raises(StageError, match="int8 needs pictures"):
        backend("8.6.2.3").build(replace(asked("int8"), calibration=()))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dla_gets_the_convolutions_and_the_gpu_the_rest(
    backend: Load, asked: Ask, version: str
) -> None:
    built = backend(version).build(asked("fp16", dla=1))

    record = record_of(built.file.read_bytes())
    assert (record["core"], record["on_dla"]) == (1, ["network/conv_0", "network/conv_1"])
    assert "GPU_FALLBACK" in record["flags"]
    assert (built.settings["dla"], built.settings["dla_layers"]) == (1, 2)


def test_an_engine_is_opened_for_its_dla(backend: Load, asked: Ask) -> None:
    trt = backend("8.6.2.3")
    built = trt.build(asked("fp16", dla=1))

    trt.open_session(built.file, "fp16", read_graph(built.file.parent), built.settings)

    assert sys.modules["tensorrt"].Runtime.opened_for == 1


def test_the_largest_picture_is_in_the_profile_and_in_the_sentence_about_sizes(
    backend: Load, asked: Ask
) -> None:
    trt = backend("8.6.2.3")
    model = detector(takes_pictures=True)
    for side in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        side.dim_param = f"side_{side.dim_value}"
    built = trt.build(asked("fp32", model, largest_picture=2048))
    network = trt.open_session(built.file, "fp32", read_graph(built.file.parent), built.settings)

    profiles = record_of(built.file.read_bytes())["profiles"]
    assert profiles[0]["picture"][2] == [1, 2048, 2048, 3]
    with pytest.raises(StageError, match="does not accept picture") as caught:
        network(np.zeros((1, 64, 64), np.uint8), np.ones((1, 4), np.float32))
    assert "32 to 2048 pixels" in caught.value.hint


@pytest.mark.parametrize(("cores", "has"), [(0, "has none"), (1, "has 1 of them")])
def test_a_dla_that_the_device_lacks_is_refused_before_the_graph_is_read(
    backend: Load, asked: Ask, cores: int, has: str
) -> None:
    trt = backend("8.6.2.3", cores)
    request = asked("fp16", dla=1)
    request.onnx.unlink()

    with pytest.raises(StageError, match=f"asks for DLA 1, .* this device {has}"):
        trt.build(request)


def test_a_dla_that_can_compute_nothing_is_refused(backend: Load, asked: Ask) -> None:
    """Of a typed int8 graph the convolutions are in FP32 between Quantize and Dequantize nodes."""
    with pytest.raises(StageError, match="DLA 0 can compute no layer of this network"):
        backend("10.3.0.30").build(asked("int8", dla=0))


@pytest.mark.parametrize("version", VERSIONS)
def test_settings_reach_the_builder_and_the_passport(
    backend: Load, asked: Ask, version: str
) -> None:
    built = backend(version).build(asked("fp32", workspace=256))

    assert record_of(built.file.read_bytes())["workspace"] == 256 << 20
    assert built.settings["workspace"] == 256


@pytest.mark.parametrize("version", [v for v in VERSIONS if v > "8.6" or v.startswith("1")])
def test_optimization_levels_exist_from_8_6_on(backend: Load, asked: Ask, version: str) -> None:
    built = backend(version).build(asked("fp32", optimization_level=5))

    assert record_of(built.file.read_bytes())["level"] == 5
    assert built.settings["optimization_level"] == 5


@pytest.mark.parametrize("version", ["8.4.0.9", "8.5.2.2"])
def test_before_8_6_an_optimization_level_is_refused(
    backend: Load, asked: Ask, version: str
) -> None:
    with pytest.raises(StageError, match="has no optimization levels"):
        backend(version).build(asked("fp32", optimization_level=5))
