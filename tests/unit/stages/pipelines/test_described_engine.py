"""What is read of an engine before it goes into a pipeline."""

from pathlib import Path

import pytest
from exported_engines import tensorrt_engine
from fused import SIDE

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.pipelines import load_pipeline
from mmdet_jetson.stages.pipelines.described_engine import Tensor, describe_engine


def test_tensors_are_those_of_the_graph(tmp_path: Path) -> None:
    engine = describe_engine(tensorrt_engine(tmp_path / "engine"))
    assert engine.inputs[0] == Tensor("input", "FP32", (1, 3, SIDE, SIDE))
    assert [tensor.name for tensor in engine.outputs] == ["dets", "labels", "nms"]
    assert engine.file.name == "engine.plan"


def test_a_folder_without_an_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"holds no engine: there is no passport\.json"):
        describe_engine(tmp_path)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = tensorrt_engine(tmp_path / "engine")
    (folder / "engine.plan").write_bytes(b"what TensorRT did not make")
    with pytest.raises(StageError, match=r"engine\.plan is not the file"):
        describe_engine(folder)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"inputs": {}, "outputs": {"boxes": [1, 4]}}, "names a tensor 'boxes'"),
        ({"outputs": {"dets": ["a lot"]}}, r"names no tensors: graph\.json: outputs: dets\[0\]"),
    ],
)
def test_a_graph_that_does_not_tell_its_tensors_is_refused(
    shapes: dict[str, object], words: str, tmp_path: Path
) -> None:
    folder = tensorrt_engine(tmp_path / "engine", **shapes)
    with pytest.raises(StageError, match=words):
        describe_engine(folder)


def test_a_pipeline_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StageError, match="cannot be exported for 'tensorflow'"):
        load_pipeline("tensorflow")
