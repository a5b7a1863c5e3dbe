"""Inputs and outputs go by the names in graph.json, in whatever order a file has them."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from built_engines import job
from fused import fused_folder, fused_model

from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.stages.engine import run as build_engine
from mmdet_jetson.stages.engines.opening import open_engine, open_graph
from mmdet_jetson.stages.errors import StageError

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)


def the_other_way_round(model: onnx.ModelProto) -> onnx.ModelProto:
    for values in (model.graph.input, model.graph.output):
        turned = list(values)[::-1]
        del values[:]
        values.extend(turned)
    return model


def test_a_file_with_its_tensors_in_another_order_detects_the_same(tmp_path: Path) -> None:
    folder = fused_folder(tmp_path / "onnx")
    expected = open_graph(folder).detect(PICTURE)
    onnx.save(the_other_way_round(fused_model()), str(folder / "end2end.onnx"))
    made = job(tmp_path, EngineParameters("pc", "onnxruntime", "fp32", (), None), {"onnx": folder}, "engine")  # fmt: skip

    build_engine(made)

    assert expected
    assert open_graph(folder).detect(PICTURE) == expected
    assert open_engine(made.output).detect(PICTURE) == expected
    compared = json.loads((made.output / "passport.json").read_text())["compared"]
    assert compared["max_difference"] < 1e-6


def test_a_file_with_other_tensors_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = fused_folder(tmp_path / "onnx")
    description = json.loads((folder / "graph.json").read_text())
    description["outputs"] = {"boxes": [1, 2, 5], "labels": [1, 2]}
    (folder / "graph.json").write_text(json.dumps(description))

    with pytest.raises(
        StageError, match=r"has the tensors dets, labels, nms, .* names boxes, labe"
    ):
        open_graph(folder)
