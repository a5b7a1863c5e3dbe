"""``graph.json`` as the stage `export` writes it, for either graph."""

import json
from pathlib import Path

import pytest
from built_engines import onnx_folder, transforms
from fused import fused_folder

from mmdet_jetson.stages.engines.opening import open_graph
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.detector import FusedDetector
from mmdet_jetson.stages.inference.graph import preprocessing_of, read_graph
from mmdet_jetson.stages.inference.preprocessing import Preprocessing


def edit(folder: Path, **changed: object) -> None:
    path = folder / "graph.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_a_fused_graph_brings_its_preprocessing(tmp_path: Path) -> None:
    folder = fused_folder(tmp_path / "onnx")
    edit(folder, opset=13, custom_ops=[])
    edit(folder, post_processing={"keep": 2, "nms_pre": 5, "rounds": 9, "from": "model"})

    graph = read_graph(folder)

    assert (graph.input, graph.batch, graph.input_size) == ("letterboxed", 1, (64, 64))
    assert (graph.post_processing.keep, graph.post_processing.nms_pre) == (2, 5)
    assert (graph.inputs, graph.outputs) == (("picture", "mapping"), ("dets", "labels", "nms"))
    assert graph.preprocessing is preprocessing_of(folder, graph)
    detector = open_graph(folder)
    assert isinstance(detector, FusedDetector)
    assert (detector.keep, detector.candidates) == (2, 5)


def test_a_documented_graph_has_it_in_pipeline_json(tmp_path: Path) -> None:
    folder = onnx_folder(tmp_path / "onnx")
    edit(folder, post_processing={"keep": 2, "nms_pre": None, "score_threshold": 0.05})

    graph = read_graph(folder)

    assert (graph.input, graph.preprocessing) == (None, None)
    expected = Preprocessing.parse(transforms(), (64, 64))
    assert preprocessing_of(folder, graph) == expected
    assert not isinstance(open_graph(folder), FusedDetector)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input_size": [64]}, "input_size: 1 entries, not 2"),
        ({"classes": "balloon"}, "classes: not a list"),
        ({"post_processing": 7}, "post_processing: not an object"),
        ({"inputs": 7}, "inputs: not a list"),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    folder = fused_folder(tmp_path / "onnx")
    edit(folder, **changed)

    with pytest.raises(StageError, match=f"graph.json is missing or damaged: .*{message}"):
        read_graph(folder)
