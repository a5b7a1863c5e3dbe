"""The builder and the session for TensorRT against a stand-in of each version's API."""

import importlib
import json
import sys

import numpy as np
import onnx
import pytest
from fused import fused_folder, fused_model, split_folder
from kernels_on_cpu import needs_compiler
from tensorrt_apis import TIMINGS, VERSIONS, graph_of, record_of, tensorrt_api, types_of
from tensorrt_engines import FakeCuda

from mmdet_jetson.stages.building import Request
from mmdet_jetson.stages.engines.comparison import difference_from
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference import detector as detector_module
from mmdet_jetson.stages.inference import gpu
from mmdet_jetson.stages.inference.cuda import CannotCompile
from mmdet_jetson.stages.inference.detector import Detector

WITH_FLAGS = [version for version in VERSIONS if not version.startswith("11")]
WITH_UINT8 = [version for version in VERSIONS if not version.startswith("8.4")]
OURS = "mmdet_jetson.stages."
MODULES = ("backends.tensorrt", "building.tensorrt", "building.tensorrt_calibrator")


@pytest.fixture
def backend(monkeypatch):
    """Import the backend on a machine with an Orin and a given TensorRT."""

    def load(version):
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_api(version))
        for name in MODULES:
            monkeypatch.delitem(sys.modules, OURS + name, raising=False)
        sessions, builder, calibrator = (importlib.import_module(OURS + name) for name in MODULES)
        monkeypatch.setattr(builder, "gpu_architecture", lambda: 87)
        monkeypatch.setattr(builder, "l4t_release", lambda: "35.4.1")
        monkeypatch.setattr(calibrator, "open_cuda", FakeCuda)
        monkeypatch.setattr(gpu, "open_cuda", FakeCuda)
        return builder, sessions

    yield load
    for name in MODULES:
        sys.modules.pop(OURS + name, None)


@pytest.fixture
def request_(tmp_path):
    source = fused_folder(tmp_path / "onnx")
    training = split_folder(tmp_path / "training", "train", [1, 2, 3])
    (tmp_path / "engine").mkdir()

    def ask(precision="fp32", mode="tensor", **changed):
        model = floating(fused_model()) if mode == "tensor" else fused_model()
        onnx.save(model, str(source / "end2end.onnx"))
        graph = {**json.loads((source / "graph.json").read_text()), "input": mode}
        return Request(
            **{
                "onnx": source / "end2end.onnx",
                "folder": tmp_path / "engine",
                "precision": precision,
                "graph": graph,
                "calibration": sorted((training / "train").iterdir()),
                **changed,
            }
        )

    return ask


def floating(model):
    """Feed the network itself, as TensorRT 8.4 needs, which has no 8-bit inputs."""
    del model.graph.node[:3]
    model.graph.input[0].CopyFrom(
        onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("version", VERSIONS)
def test_fp32_is_exact_and_its_log_and_timings_are_kept(backend, request_, tmp_path, version):
    builder, _ = backend(version)

    built = builder.build(request_())

    record = record_of(built.file.read_bytes())
    assert record["flags"] == []  # not even TF32
    assert record["workspace"] == 1 << 30
    assert record["creation"] == 1
    assert built.runs_on == {"sm": 87, "l4t": "35.4.1", "tensorrt": version}
    assert (tmp_path / "engine/timing.cache").read_bytes() == TIMINGS
    assert (tmp_path / "engine/builder.log").read_text() == "info: compiling\n"


@pytest.mark.parametrize("earlier", [TIMINGS, b"timings of another GPU", b"no timings"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_earlier_builds_timings_are_used_where_they_are_of_this_device(
    backend, request_, tmp_path, version, earlier
):
    builder, _ = backend(version)
    (tmp_path / "timing.cache").write_bytes(earlier)

    built = builder.build(request_(timings=tmp_path / "timing.cache"))

    fit = earlier == TIMINGS
    assert built.settings["timings_reused"] is fit
    assert record_of(built.file.read_bytes())["timings"] == (earlier.decode() if fit else "")


@pytest.mark.parametrize("version", WITH_FLAGS)
def test_before_11_fp16_is_a_flag_that_holds_for_the_network_only(backend, request_, version):
    builder, _ = backend(version)

    engine = builder.build(request_("fp16")).file.read_bytes()

    record = record_of(engine)
    assert {"FP16", "OBEY_PRECISION_CONSTRAINTS"} <= set(record["flags"])
    assert "INT8" not in record["flags"]
    assert "nms/boxes" in record["fp32"]
    assert "nms/labels" not in record["fp32"]  # whole numbers have no such precision
    assert not {"network/conv_0", "network/relu", "network/conv_1"} & set(record["fp32"])
    assert "float16" not in types_of(graph_of(engine))


def test_from_11_on_fp16_is_in_the_graph(backend, request_):
    builder, _ = backend("11.4.0.106")

    built = builder.build(request_("fp16"))

    assert "float16" in types_of(graph_of(built.file.read_bytes()))
    assert built.settings["strongly_typed"]


@pytest.mark.parametrize("version", ["8.4.0.9", "8.5.2.2", "8.6.2.3"])
def test_before_10_1_int8_is_calibrated_by_tensorrt(backend, request_, tmp_path, version):
    builder, _ = backend(version)

    built = builder.build(request_("int8"))

    record = record_of(built.file.read_bytes())
    assert {"INT8", "FP16"} <= set(record["flags"])
    assert record["calibrated"] == 3
    assert (tmp_path / "engine/calibration.cache").read_bytes() == b"ranges"
    assert built.settings["calibrator"]


@pytest.mark.parametrize("version", ["10.3.0.30", "10.13.3.9", "11.4.0.106"])
def test_from_10_1_on_int8_is_in_the_graph(backend, request_, version):
    builder, _ = backend(version)

    engine = builder.build(request_("int8")).file.read_bytes()

    graph = graph_of(engine)
    quantized = {n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    assert {"input", "positive"} <= quantized
    assert "int8" in types_of(graph)
    assert record_of(engine)["calibrated"] == 0
    assert ("INT8" in record_of(engine)["flags"]) is (version in WITH_FLAGS)


def test_pictures_of_any_size_get_a_profile_around_the_networks_size(backend, request_):
    builder, _ = backend("8.6.2.3")
    asked = request_(mode="letterboxed")
    model = onnx.load(str(asked.onnx))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_param, dims[2].dim_param = "height", "width"
    onnx.save(model, str(asked.onnx))

    record = record_of(builder.build(asked).file.read_bytes())

    sizes = [[1, 32, 32, 3], [1, 64, 64, 3], [1, 4096, 4096, 3]]
    assert record["profiles"] == [{"picture": sizes}]


@pytest.mark.parametrize(
    ("mode", "version"),
    [*(("tensor", v) for v in VERSIONS), *(("letterboxed", v) for v in WITH_UINT8)],
)
def test_an_engine_finds_what_its_graph_finds(backend, request_, version, mode):
    builder, sessions = backend(version)
    asked = request_(mode=mode)
    built = builder.build(asked)

    network = sessions.open_session(built.file)

    assert difference_from(asked.onnx, network) < 1e-6
    assert network.milliseconds == 1.5


def test_buffers_are_reused_and_outputs_are_not_overwritten(backend, request_):
    builder, sessions = backend("10.3.0.30")
    network = sessions.open_session(builder.build(request_(mode="letterboxed")).file)
    mapping = np.array([[1, 1, 64, 64]], np.float32)
    dark, bright = (np.full((1, 64, 64, 3), value, np.uint8) for value in (0, 255))

    first = network(dark, mapping)[0]
    kept, allocated = first.copy(), network.cuda.allocated
    second = network(bright, mapping)[0]

    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    assert network.cuda.allocated == allocated == 5


def test_eight_bit_inputs_are_refused_by_8_4_in_a_sentence(backend, request_):
    builder, _ = backend("8.4.0.9")

    with pytest.raises(StageError, match="Unsupported type of input picture") as caught:
        builder.build(request_(mode="letterboxed"))

    assert "\n" not in caught.value.message


def test_a_plugin_that_is_not_there_is_one_sentence(backend, request_):
    builder, _ = backend("8.5.2.2")
    asked = request_()
    model = onnx.load(str(asked.onnx))
    model.graph.node.append(
        onnx.helper.make_node("TRTBatchedNMS", ["logits"], ["boxes_"], domain="mmdeploy")
    )
    onnx.save(model, str(asked.onnx))

    with pytest.raises(StageError, match=r"No importer registered for op: TRTBatchedNMS$"):
        builder.build(asked)


def test_a_plugin_of_another_tensorrt_is_one_sentence(backend, request_, tmp_path):
    builder, _ = backend("8.5.2.2")
    (tmp_path / "plugin.so").write_bytes(b"no library")

    with pytest.raises(StageError, match=r"plugin\.so cannot be loaded"):
        builder.build(request_(plugin=tmp_path / "plugin.so"))


def test_a_graph_that_does_not_compile_is_one_sentence(backend, request_):
    builder, _ = backend("8.5.2.2")
    asked = request_()
    model = onnx.load(str(asked.onnx))
    model.doc_string = "too large"
    onnx.save(model, str(asked.onnx))

    with pytest.raises(StageError, match=r"could not compile the graph: .* out of memory$"):
        builder.build(asked)


def test_an_engine_of_another_tensorrt_is_one_sentence(backend, tmp_path):
    _, sessions = backend("8.5.2.2")
    (tmp_path / "engine.plan").write_bytes(b"something else")

    with pytest.raises(StageError, match=r"cannot load engine\.plan"):
        sessions.open_session(tmp_path / "engine.plan")


@pytest.mark.parametrize("version", ["8.4.0.9", "8.5.2.2", "11.4.0.106"])
def test_an_input_of_another_size_is_one_sentence(backend, request_, version):
    builder, sessions = backend(version)
    network = sessions.open_session(builder.build(request_()).file)

    with pytest.raises(StageError, match="takes no input of shape 1x3x32x32"):
        network(np.zeros((1, 3, 32, 32), np.float32), np.ones((1, 4), np.float32))


@pytest.fixture
def load_detector(backend, request_, monkeypatch):
    """Load the detector of an engine that takes a tensor."""

    def load(version):
        builder, _ = backend(version)
        asked = request_()
        built = builder.build(asked)
        (asked.folder / "graph.json").write_text(json.dumps(asked.graph))
        passport = {"backend": "tensorrt", "engine": {"file": built.file.name}}
        monkeypatch.setattr(detector_module, "preflight", lambda folder: passport)
        return Detector.load(asked.folder)

    return load


def without_compiler(*_):
    raise CannotCompile("nvcc is missing")


@needs_compiler
@pytest.mark.parametrize("version", ["8.4.0.9", "10.3.0.30"])
def test_where_the_gpu_prepares_pictures_it_finds_the_same(load_detector, monkeypatch, version):
    pictures = [
        np.random.default_rng(n).integers(0, 256, (60 * n, 90, 3), np.uint8) for n in (1, 3)
    ]
    on_gpu = load_detector(version)
    monkeypatch.setattr(FakeCuda, "compile", without_compiler)
    with pytest.warns(UserWarning, match="prepared on the CPU, as nvcc is missing"):
        on_cpu = load_detector(version)

    for picture in pictures:
        assert on_gpu.resize(picture) is on_gpu.normalize(picture) is picture
        for values, others in zip(on_gpu.outputs(picture), on_cpu.outputs(picture), strict=True):
            assert np.array_equal(values, others)
        assert on_gpu.detect(picture) == on_cpu.detect(picture) != []
    assert on_gpu.network.milliseconds == 1.5
    assert on_cpu.resize(pictures[0]).shape == (64, 64, 3)


@needs_compiler
@pytest.mark.parametrize("shape", [(60, 90), (60, 90, 4), (60, 90, 1)])
def test_what_is_no_picture_is_one_sentence(load_detector, shape):
    detector = load_detector("8.4.0.9")

    with pytest.raises(StageError, match="takes no picture of shape 1x60x90"):
        detector.outputs(np.zeros(shape, np.uint8))


@needs_compiler
def test_a_picture_of_the_same_size_needs_no_new_memory(load_detector):
    detector = load_detector("8.4.0.9")
    picture = np.zeros((60, 90, 3), np.uint8)

    detector.detect(picture)
    allocated = detector.network.session.cuda.allocated
    detector.detect(picture)

    assert detector.network.session.cuda.allocated == allocated == 6
