"""The builder and the session for TensorRT against a stand-in of each version's API."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
from fused import fused_folder, fused_model, split_folder
from kernels_on_cpu import needs_compiler
from passports import passport
from tensorrt_apis import VERSIONS, graph_of, record_of, tensorrt_api, types_of
from tensorrt_builders import TIMINGS, Logger, Severity
from tensorrt_engines import FakeCuda

from mmdet_jetson.stages.backends import Backend
from mmdet_jetson.stages.building import tensorrt_calibrator
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.engine import LOOSE
from mmdet_jetson.stages.engines import opening
from mmdet_jetson.stages.engines.comparison import compare_with
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference import device, gpu
from mmdet_jetson.stages.inference.cuda_api import CannotCompile
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.gpu import GpuSession
from mmdet_jetson.stages.inference.graph import Graph, read_graph
from mmdet_jetson.stages.inference.letterbox_kernel import PictureSession

WITH_FLAGS = [version for version in VERSIONS if version.startswith("8")]
TYPED = [version for version in VERSIONS if version not in WITH_FLAGS]
WITH_UINT8 = [version for version in VERSIONS if not version.startswith("8.4")]
GRAPH = Graph("fused", ("balloon",), (64, 64))
MODULE = "mmdet_jetson.stages.backends.tensorrt"
Load = Callable[[str], Backend]
Ask = Callable[..., BuildRequest]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import the backend on a machine with an Orin and a given TensorRT."""

    def load(version: str) -> Backend:
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_api(version))
        monkeypatch.delitem(sys.modules, MODULE, raising=False)
        monkeypatch.setattr(device, "gpu_architecture", lambda: 87)
        monkeypatch.setattr(device, "l4t_release", lambda: "35.4.1")
        monkeypatch.setattr(tensorrt_calibrator, "open_cuda", FakeCuda)
        monkeypatch.setattr(gpu, "open_cuda", FakeCuda)
        return cast("Backend", importlib.import_module(MODULE))

    yield load
    sys.modules.pop(MODULE, None)


def opened(backend: Backend, engine: Path) -> GpuSession:
    """Open an engine; the tests look at what runs it."""
    session = backend.open_session(engine, "fp32", read_graph(engine.parent), {})
    assert isinstance(session, GpuSession)
    return session


@pytest.fixture
def request_(tmp_path: Path) -> Ask:
    source = fused_folder(tmp_path / "onnx")
    training = split_folder(tmp_path / "training", "train", [1, 2, 3])
    (tmp_path / "engine").mkdir()

    def ask(
        precision: str = "fp32",
        mode: str = "tensor",
        reused: Path | None = None,
        plugin: Path | None = None,
    ) -> BuildRequest:
        model = floating(fused_model()) if mode == "tensor" else fused_model()
        onnx.save(model, str(source / "end2end.onnx"))
        graph = {**json.loads((source / "graph.json").read_text()), "input": mode}
        graph["inputs"] = [value.name for value in model.graph.input]
        (tmp_path / "engine/graph.json").write_text(json.dumps(graph))
        return BuildRequest(
            onnx=source / "end2end.onnx",
            folder=tmp_path / "engine",
            precision=precision,
            graph=read_graph(tmp_path / "engine"),
            calibration=sorted((training / "train").iterdir()),
            reused=reused,
            plugin=plugin,
        )

    return ask


def floating(model: onnx.ModelProto) -> onnx.ModelProto:
    """Feed the network itself, as TensorRT 8.4 needs, which has no 8-bit inputs."""
    del model.graph.node[:3]
    model.graph.input[0].CopyFrom(
        onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("version", VERSIONS)
def test_fp32_is_exact_and_its_log_and_timings_are_kept(
    backend: Load, request_: Ask, tmp_path: Path, version: str
) -> None:
    trt = backend(version)

    built = trt.build(request_())

    record = record_of(built.file.read_bytes())
    assert record["flags"] == []  # not even TF32
    assert record["workspace"] == 1 << 30
    assert built.settings["workspace"] == 1024
    # STRONGLY_TYPED is number 1 in 10, where EXPLICIT_BATCH is 0, and 0 in 11.
    assert record["creation"] == (2 if version.startswith("10") else 1)
    assert built.runs_on == {"sm": 87, "l4t": "35.4.1", "tensorrt": version}
    assert (tmp_path / "engine/timing.cache").read_bytes() == TIMINGS
    assert (tmp_path / "engine/builder.log").read_text() == "info: compiling\n"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_computed_in_fp32_is_never_computed_in_tf32(
    backend: Load, request_: Ask, version: str, precision: str
) -> None:
    built = backend(version).build(request_(precision))

    assert "TF32" not in record_of(built.file.read_bytes())["flags"]
    assert built.settings["tf32"] is False


@pytest.mark.parametrize("earlier", [TIMINGS, b"timings of another GPU", b"no timings"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_earlier_builds_timings_are_used_where_they_are_of_this_device(
    backend: Load, request_: Ask, tmp_path: Path, version: str, earlier: bytes
) -> None:
    trt = backend(version)
    (tmp_path / "timing.cache").write_bytes(earlier)

    built = trt.build(request_(reused=tmp_path / "timing.cache"))

    fit = earlier == TIMINGS
    assert built.settings["timings_reused"] is fit
    assert record_of(built.file.read_bytes())["timings"] == (earlier.decode() if fit else "")


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_before_10_fp16_is_a_flag_that_holds_for_the_network_only(
    backend: Load, request_: Ask, version: str
) -> None:
    trt = backend(version)

    engine = trt.build(request_("fp16")).file.read_bytes()

    record = record_of(engine)
    assert {"FP16", "OBEY_PRECISION_CONSTRAINTS"} <= set(record["flags"])
    assert "INT8" not in record["flags"]
    assert "nms/boxes" in record["fp32"]
    assert "nms/labels" not in record["fp32"]  # whole numbers have no such precision
    assert not {"network/conv_0", "network/relu", "network/conv_1"} & set(record["fp32"])
    assert "float16" not in types_of(graph_of(engine))


@pytest.mark.parametrize("version", TYPED)
def test_from_10_on_fp16_is_in_the_graph(backend: Load, request_: Ask, version: str) -> None:
    trt = backend(version)

    built = trt.build(request_("fp16"))

    assert "float16" in types_of(graph_of(built.file.read_bytes()))
    assert record_of(built.file.read_bytes())["flags"] == []
    assert built.settings["strongly_typed"]


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_before_10_int8_is_calibrated_by_tensorrt(
    backend: Load, request_: Ask, tmp_path: Path, version: str
) -> None:
    trt = backend(version)

    built = trt.build(request_("int8"))

    record = record_of(built.file.read_bytes())
    assert {"INT8", "FP16"} <= set(record["flags"])
    assert record["calibrated"] == 3
    assert (tmp_path / "engine/calibration.cache").read_bytes() == b"ranges"
    assert built.settings["calibrator"]


@pytest.mark.parametrize("version", TYPED)
def test_from_10_on_int8_is_in_the_graph(backend: Load, request_: Ask, version: str) -> None:
    trt = backend(version)

    engine = trt.build(request_("int8")).file.read_bytes()

    graph = graph_of(engine)
    quantized = {n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    assert "input" in quantized
    assert "positive" not in quantized  # what the last convolution reads
    assert "int8" in types_of(graph)
    assert record_of(engine)["calibrated"] == 0
    assert record_of(engine)["flags"] == []


def test_pictures_of_any_size_get_a_profile_around_the_networks_size(
    backend: Load, request_: Ask
) -> None:
    trt = backend("8.6.2.3")
    asked = request_(mode="letterboxed")
    model = onnx.load(str(asked.onnx))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_param, dims[2].dim_param = "height", "width"
    onnx.save(model, str(asked.onnx))

    record = record_of(trt.build(asked).file.read_bytes())

    sizes = [[1, 32, 32, 3], [1, 64, 64, 3], [1, 4096, 4096, 3]]
    assert record["profiles"] == [{"picture": sizes}]


@pytest.mark.parametrize(
    ("mode", "version"),
    [*(("tensor", v) for v in VERSIONS), *(("letterboxed", v) for v in WITH_UINT8)],
)
def test_an_engine_finds_what_its_graph_finds(
    backend: Load, request_: Ask, version: str, mode: str
) -> None:
    trt = backend(version)
    asked = request_(mode=mode)
    built = trt.build(asked)

    network = opened(trt, built.file)

    difference = compare_with(asked.onnx, network, LOOSE).max_difference
    assert difference is not None
    assert difference < 1e-6
    assert network.milliseconds == 1.5


def test_buffers_are_reused_and_outputs_are_not_overwritten(backend: Load, request_: Ask) -> None:
    trt = backend("10.3.0.30")
    network = opened(trt, trt.build(request_(mode="letterboxed")).file)
    cuda = network.cuda
    assert isinstance(cuda, FakeCuda)
    mapping = np.array([[1, 1, 64, 64]], np.float32)
    dark, bright = (np.full((1, 64, 64, 3), value, np.uint8) for value in (0, 255))

    first = network(dark, mapping)[0]
    kept, allocated = first.copy(), cuda.allocated
    second = network(bright, mapping)[0]

    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    assert cuda.allocated == allocated == 5


def test_eight_bit_inputs_are_refused_by_8_4_in_a_sentence(backend: Load, request_: Ask) -> None:
    trt = backend("8.4.0.9")

    with pytest.raises(StageError, match="Unsupported type of input picture") as caught:
        trt.build(request_(mode="letterboxed"))

    assert "\n" not in caught.value.message


def test_a_plugin_that_is_not_there_is_one_sentence(backend: Load, request_: Ask) -> None:
    trt = backend("8.5.2.2")
    asked = request_()
    model = onnx.load(str(asked.onnx))
    model.graph.node.append(
        onnx.helper.make_node("TRTBatchedNMS", ["logits"], ["boxes_"], domain="mmdeploy")
    )
    onnx.save(model, str(asked.onnx))

    with pytest.raises(StageError, match=r"No importer registered for op: TRTBatchedNMS$"):
        trt.build(asked)


def test_a_plugin_of_another_tensorrt_is_one_sentence(
    backend: Load, request_: Ask, tmp_path: Path
) -> None:
    trt = backend("8.5.2.2")
    (tmp_path / "plugin.so").write_bytes(b"no library")

    with pytest.raises(StageError, match=r"plugin\.so cannot be loaded"):
        trt.build(request_(plugin=tmp_path / "plugin.so"))


def test_a_graph_that_does_not_compile_is_one_sentence(backend: Load, request_: Ask) -> None:
    trt = backend("8.5.2.2")
    asked = request_()
    model = onnx.load(str(asked.onnx))
    model.doc_string = "too large"
    onnx.save(model, str(asked.onnx))

    with pytest.raises(StageError, match=r"could not compile the graph: .* out of memory$"):
        trt.build(asked)


def test_an_engine_of_another_tensorrt_is_one_sentence(backend: Load, tmp_path: Path) -> None:
    trt = backend("8.5.2.2")
    (tmp_path / "engine.plan").write_bytes(b"something else")

    with pytest.raises(StageError, match=r"cannot load engine\.plan"):
        trt.open_session(tmp_path / "engine.plan", "fp32", GRAPH, {})


@pytest.mark.parametrize("version", ["8.4.0.9", "8.5.2.2", "11.4.0.106"])
def test_an_input_of_another_size_is_one_sentence(
    backend: Load, request_: Ask, version: str
) -> None:
    trt = backend(version)
    network = opened(trt, trt.build(request_()).file)

    with pytest.raises(StageError, match="does not accept input of shape 1x3x32x32"):
        network(np.zeros((1, 3, 32, 32), np.float32), np.ones((1, 4), np.float32))


def test_a_builder_that_finds_no_gpu_is_one_sentence(
    backend: Load, request_: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its bindings do for a user without the groups `video` and `render`."""
    trt = backend("10.3.0.30")

    def refuse(logger: Logger) -> None:
        logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(sys.modules["tensorrt"], "Builder", refuse)

    with pytest.raises(StageError, match="GPU cannot be used: CUDA initialization failure with"):
        trt.build(request_())


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("version", ["8.4.0.9", "10.3.0.30"])
def test_a_cuda_graph_and_mapped_memory_change_nothing_that_is_found(
    backend: Load,
    request_: Ask,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    integrated: bool,
) -> None:
    trt = backend(version)
    file = trt.build(request_()).file
    plain = opened(trt, file)
    monkeypatch.setattr(FakeCuda, "integrated", integrated)

    settings = {"cuda_graph": True, "mapped_memory": True}
    session = trt.open_session(file, "fp32", read_graph(file.parent), settings)

    assert isinstance(session, GpuSession)
    assert session.mapped is integrated
    mapping = np.array([[1, 1, 64, 64]], np.float32)
    for seed in range(4):
        picture = np.random.default_rng(seed).standard_normal((1, 3, 64, 64), np.float32)
        for values, others in zip(session(picture, mapping), plain(picture, mapping), strict=True):
            assert np.array_equal(values, others)
    assert isinstance(session.cuda, FakeCuda)
    assert session.cuda.captured == 1


@pytest.fixture
def load_detector(
    backend: Load, request_: Ask, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Detector]:
    """Load the detector of an engine that takes a tensor."""

    def load(version: str) -> Detector:
        trt = backend(version)
        asked = request_()
        engine = passport("orin", {}, trt.build(asked).file.name)
        monkeypatch.setattr(opening, "preflight", lambda folder: engine)
        return open_engine(asked.folder)

    return load


def without_compiler(*_: object) -> None:
    raise CannotCompile("nvcc is missing")


@needs_compiler
@pytest.mark.parametrize("version", ["8.4.0.9", "10.3.0.30"])
def test_where_the_gpu_prepares_pictures_it_finds_the_same(
    load_detector: Callable[[str], Detector], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    pictures = [
        np.random.default_rng(n).integers(0, 256, (60 * n, 90, 3), np.uint8) for n in (1, 3)
    ]
    on_gpu = load_detector(version)
    monkeypatch.setattr(FakeCuda, "compile", without_compiler)
    with pytest.warns(UserWarning, match="prepared on the CPU, as nvcc is missing"):
        on_cpu = load_detector(version)

    for picture in pictures:
        assert on_gpu.feeding.resize(picture) is on_gpu.feeding.normalize(picture) is picture
        for values, others in zip(on_gpu.outputs(picture), on_cpu.outputs(picture), strict=True):
            assert np.array_equal(values, others)
        assert on_gpu.detect(picture) == on_cpu.detect(picture) != []
    assert isinstance(on_gpu.network, PictureSession)
    assert on_gpu.network.milliseconds == 1.5
    assert on_cpu.feeding.resize(pictures[0]).shape == (64, 64, 3)


@needs_compiler
@pytest.mark.parametrize("shape", [(60, 90), (60, 90, 4), (60, 90, 1)])
def test_what_is_no_picture_is_one_sentence(
    load_detector: Callable[[str], Detector], shape: tuple[int, ...]
) -> None:
    detector = load_detector("8.4.0.9")

    with pytest.raises(StageError, match="does not accept a picture of shape 1x60x90"):
        detector.outputs(np.zeros(shape, np.uint8))


@needs_compiler
def test_a_picture_of_the_same_size_needs_no_new_memory(
    load_detector: Callable[[str], Detector],
) -> None:
    detector = load_detector("8.4.0.9")
    picture = np.zeros((60, 90, 3), np.uint8)

    assert isinstance(detector.network, PictureSession)
    cuda = detector.network.session.cuda
    assert isinstance(cuda, FakeCuda)

    detector.detect(picture)
    allocated = cuda.allocated
    detector.detect(picture)

    assert cuda.allocated == allocated == 6
