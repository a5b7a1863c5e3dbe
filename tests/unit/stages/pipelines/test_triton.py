"""A model of a Triton repository, read back as Triton reads it."""

import json
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from exported_engines import OUTPUTS, onnxruntime_engine, tensorrt_engine
from fused import CLASSES, SIDE
from google.protobuf import text_format
from triton_config import ENUMS, parsed

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.pipelines import triton
from mmdet_jetson.stages.pipelines.described_engine import describe_engine

OF_ONNX = {
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_INT32": "tensor(int32)",
}


def written(engine: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    assert triton.write(describe_engine(engine), folder) == ()
    (model,) = folder.iterdir()
    return model


def config_of(model: Path) -> Any:  # a message has the fields of its descriptor
    return parsed((model / "config.pbtxt").read_text())


def tensors(fields: Any) -> dict[str, tuple[str, list[int]]]:
    names = {number: name for name, number in ENUMS["DataType"].items()}
    return {each.name: (names[each.data_type], list(each.dims)) for each in fields}


def test_a_model_of_onnx_runtime_has_the_tensors_that_its_file_has(tmp_path: Path) -> None:
    model = written(onnxruntime_engine(tmp_path), tmp_path / "models")

    config = config_of(model)
    assert (model / "config.pbtxt").read_text().startswith("# The engine of pc in fp32.\n")

    session = ort.InferenceSession(model / "1/model.onnx", providers=["CPUExecutionProvider"])
    for fields, found in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        told = {name: (OF_ONNX[kind], dims) for name, (kind, dims) in tensors(fields).items()}
        assert told == {each.name: (each.type, each.shape) for each in found}
    assert (config.backend, config.platform) == ("onnxruntime", "onnxruntime_onnx")
    assert config.instance_group[0].kind == ENUMS["Kind"]["KIND_CPU"]


def test_a_model_of_tensorrt_is_its_plan_on_a_gpu(tmp_path: Path) -> None:
    engine = tensorrt_engine(tmp_path / "engine")

    model = written(engine, tmp_path / "models")

    config = config_of(model)
    assert model.name == config.name == "orin-jp62"
    assert (config.backend, config.platform) == ("tensorrt", "tensorrt_plan")
    assert (model / "1/model.plan").read_bytes() == (engine / "engine.plan").read_bytes()
    assert tensors(config.input) == {
        "input": ("TYPE_FP32", [1, 3, SIDE, SIDE]),
        "mapping": ("TYPE_FP32", [1, 4]),
    }
    kinds = {"dets": "TYPE_FP32", "labels": "TYPE_INT32", "nms": "TYPE_INT32"}
    assert tensors(config.output) == {name: (kinds[name], shape) for name, shape in OUTPUTS.items()}
    assert config.instance_group[0].kind == ENUMS["Kind"]["KIND_GPU"]
    assert config.instance_group[0].count == 1
    assert config.version_policy.latest.num_versions == 1
    assert "sm 87, tensorrt 10.3.0" in (model / "config.pbtxt").read_text()


@pytest.mark.parametrize("dla", [None, 0, 1])
def test_an_engine_for_an_accelerator_is_run_on_that_one(dla: int | None, tmp_path: Path) -> None:
    engine = tensorrt_engine(tmp_path / "engine", dla=dla)
    config = config_of(written(engine, tmp_path / "models"))
    told = [each.device_id for each in config.instance_group[0].secondary_devices]
    assert told == ([] if dla is None else [dla])


def test_shapes_are_whole_because_the_batch_is_fixed(tmp_path: Path) -> None:
    """With a max_batch_size both backends refuse a model whose first dimension is not -1."""
    shapes = {"input": [4, 3, SIDE, SIDE], "mapping": [4, 4]}
    engine = tensorrt_engine(tmp_path / "engine", batch=4, inputs=shapes)

    config = config_of(written(engine, tmp_path / "models"))

    assert config.max_batch_size == 0
    assert tensors(config.input)["input"][1] == [4, 3, SIDE, SIDE]


def test_a_picture_of_any_size_has_open_sides(tmp_path: Path) -> None:
    shapes = {"picture": [1, None, None, 3]}
    engine = tensorrt_engine(tmp_path / "engine", input="image", inputs=shapes)

    config = config_of(written(engine, tmp_path / "models"))

    assert tensors(config.input) == {"picture": ("TYPE_UINT8", [1, -1, -1, 3])}


def test_a_documented_graph_numbers_its_classes_in_64_bits(tmp_path: Path) -> None:
    engine = tensorrt_engine(
        tmp_path / "engine",
        backend="onnxruntime",
        graph="documented",
        inputs={"input": [1, 3, SIDE, SIDE]},
        outputs={"dets": [None, None, None], "labels": [None, None]},
    )

    config = config_of(written(engine, tmp_path / "models"))

    assert tensors(config.output) == {
        "dets": ("TYPE_FP32", [-1, -1, -1]),
        "labels": ("TYPE_INT64", [-1, -1]),
    }


def test_clients_find_classes_and_preprocessing_beside_the_model(tmp_path: Path) -> None:
    """No output is a score for each class, which is what Triton reads a labels file for."""
    engine = tensorrt_engine(tmp_path / "engine")

    model = written(engine, tmp_path / "models")

    assert (model / "labels.txt").read_text().splitlines() == CLASSES
    assert json.loads((model / "graph.json").read_text())["input"] == "tensor"
    assert not any(output.label_filename for output in config_of(model).output)


def test_what_triton_does_not_know_is_seen(tmp_path: Path) -> None:
    text = (
        written(tensorrt_engine(tmp_path / "engine"), tmp_path / "models") / "config.pbtxt"
    ).read_text()
    for told, wrong in (("TYPE_FP32", "TYPE_FLOAT"), ("dims:", "shape:"), ('"orin-jp62"', "orin")):
        with pytest.raises(text_format.ParseError):
            parsed(text.replace(told, wrong))


@pytest.mark.parametrize("backend", ["openvino", "tensorrt_rtx"])
def test_an_engine_that_triton_cannot_open_is_refused(backend: str, tmp_path: Path) -> None:
    engine = describe_engine(tensorrt_engine(tmp_path / "engine", backend=backend))
    with pytest.raises(StageError, match=f"no backend that opens engines of '{backend}'"):
        triton.write(engine, tmp_path)
    assert not (tmp_path / "orin-jp62").exists()


def test_an_engine_with_a_plugin_is_refused(tmp_path: Path) -> None:
    engine = describe_engine(tensorrt_engine(tmp_path / "engine", plugin=True, graph="documented"))
    with pytest.raises(StageError, match="plugin library") as refused:
        triton.write(engine, tmp_path)
    assert 'graph = "fused"' in refused.value.hint
