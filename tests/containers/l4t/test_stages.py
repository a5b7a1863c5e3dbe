"""A small network goes through every stage that a device runs: built, evaluated, timed."""

import json
from pathlib import Path
from typing import Any

import pytest
from built_engines import dataset_folder, engine_folder, engine_job, job
from fused import fused_folder, split_folder

from mmdet_jetson.stages import engine, evaluate_engine, profile

TARGET = {"target": "device", "evidence": "emulated"}


@pytest.fixture
def inputs(tmp_path: Path) -> Any:
    return {"engine": engine_folder(tmp_path), "dataset": dataset_folder(tmp_path / "dataset")}


def test_an_engine_is_built_and_says_what_it_is(inputs: Any) -> None:
    passport = json.loads((inputs["engine"] / "passport.json").read_text())
    assert passport["backend"] == "onnxruntime"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_fused_graph_is_built_and_compared(precision: str, tmp_path: Path) -> None:
    made = engine_job(tmp_path, fused_folder(tmp_path / "onnx"), precision=precision)
    made.inputs["training"] = split_folder(tmp_path / "training", "train", [1, 2])
    made.inputs["validation"] = split_folder(tmp_path / "validation", "val", [3])
    assert engine.run(made).metrics["max_difference"] < 0.1


def test_its_figures_are_those_of_a_perfect_detector(inputs: Any, tmp_path: Path) -> None:
    wanted = {**TARGET, "pictures": 1, "draw_threshold": 0.3}
    made = job(tmp_path, "evaluate_engine", wanted, inputs, "evaluation")
    assert evaluate_engine.run(made).metrics["AP"] == pytest.approx(1)


def test_its_time_is_measured(inputs: Any, tmp_path: Path) -> None:
    made = job(tmp_path, "profile", {**TARGET, "repeats": 200, "warmup": 1}, inputs, "profile")
    assert profile.run(made).metrics["p50"] > 0
