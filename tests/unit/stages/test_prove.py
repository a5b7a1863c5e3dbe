import json

import numpy as np
import onnx
import pytest
from built_engines import dataset_folder, engine_folder, job, onnx_folder
from onnx import numpy_helper

from mmdet_jetson.stages.evaluate_engine import run as evaluate
from mmdet_jetson.stages.prove import run

TARGET = {"target": "pc", "evidence": "emulated"}
PARAMETERS = {**TARGET, "pictures": 1, "draw_threshold": 0.3}


def with_network(folder, weights):
    """Give an artifact's graph a convolution, as a detector has."""
    path = folder / "end2end.onnx"
    model = onnx.load(str(path))
    values = np.full((1, 3, 1, 1), weights, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(values, "w"))
    model.graph.node.insert(0, onnx.helper.make_node("Conv", ["input", "w"], ["seen"]))
    next(n for n in model.graph.node if n.op_type == "ReduceMean").input[0] = "seen"
    onnx.save(model, str(path))
    graph = json.loads((folder / "graph.json").read_text())
    graph["input"] = "tensor"
    (folder / "graph.json").write_text(json.dumps(graph))
    return folder


@pytest.fixture
def proof(tmp_path):
    """Prove an engine whose detections are also the reference; return the content of the proof."""

    def prove(change=lambda predictions: None, weights=1.0):
        engine = engine_folder(tmp_path)
        dataset = dataset_folder(tmp_path / "dataset")
        made = job(
            tmp_path,
            "evaluate_engine",
            PARAMETERS,
            {"engine": engine, "dataset": dataset},
            "evaluation",
        )
        evaluate(made)
        reference = made.output
        predictions = json.loads((reference / "predictions.json").read_text())
        change(predictions)
        (reference / "predictions.json").write_text(json.dumps(predictions))
        inputs = {
            "onnx": with_network(onnx_folder(tmp_path / "fused"), weights),
            "documented": with_network(onnx_folder(tmp_path / "documented"), 1.0),
            "engine": engine,
            "dataset": dataset,
            "reference": reference,
        }
        proving = job(tmp_path, "prove", TARGET, inputs, "proof")
        result = run(proving)
        return json.loads((proving.output / "proof.json").read_text()), result

    return prove


def test_models_that_detect_the_same_deviate_by_nothing(proof):
    content, result = proof()

    assert list(content["models"]) == ["pytorch", "documented graph", "fused graph", "engine"]
    for name in ("documented graph", "fused graph", "engine"):
        model = content["models"][name]
        assert model["figures"]["AP"] == pytest.approx(1)
        assert (model["deviation"]["matched"], model["incomplete_nms"]) == (6, 0)
        assert model["deviation"]["missing"] == model["deviation"]["extra"] == 0
        assert model["deviation"]["box"] < 1e-3
        assert sorted(model["by_picture"]) == ["1.png", "2.png", "3.png"]
    assert content["network"] == {"nodes": 1, "differences": []}
    assert result.metrics["engine"] == pytest.approx(1)
    assert result.warnings == []
    assert content["evidence"] == "emulated"


def test_the_worst_deviation_is_told_and_where_it_is(proof):
    def move(predictions):
        predictions[2]["bbox"][0] += 0.5
        predictions[3]["score"] -= 0.125

    content, _ = proof(move)

    engine = content["models"]["engine"]
    assert engine["deviation"]["box"] == pytest.approx(0.5, abs=1e-3)
    assert engine["deviation"]["score"] == pytest.approx(0.125, abs=1e-5)
    assert engine["by_picture"]["2.png"]["box"] == pytest.approx(0.5, abs=1e-3)
    assert engine["by_picture"]["1.png"]["box"] < 1e-3


def test_a_detection_that_only_pytorch_has_is_missing(proof):
    def add(predictions):
        predictions.append({**predictions[0], "bbox": [1, 1, 9, 9]})

    content, _ = proof(add)

    assert content["models"]["engine"]["deviation"]["missing"] == 1


def test_other_weights_are_named(proof):
    content, _ = proof(weights=1.5)

    assert "the weights w are not w" in content["network"]["differences"][0]
