"""A small network goes through every stage that a device runs: built, evaluated, timed."""

import json
from pathlib import Path
from typing import Dict

import pytest
from built_engines import dataset_folder, engine_folder, engine_job, job
from fused import fused_folder, split_folder

from mmdet_jetson.contract.parameters.evaluate import DrawingParameters, EvaluateEngineParameters
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.stages import engine, evaluate_engine, profile


@pytest.fixture
def inputs(tmp_path: Path) -> Dict[str, Path]:
    return {"engine": engine_folder(tmp_path), "dataset": dataset_folder(tmp_path / "dataset")}


def test_an_engine_is_built_and_says_what_it_is(inputs: Dict[str, Path]) -> None:
    passport = json.loads((inputs["engine"] / "passport.json").read_text())
    assert passport["backend"] == "onnxruntime"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_fused_graph_is_built_and_compared(precision: str, tmp_path: Path) -> None:
    made = engine_job(
        tmp_path,
        fused_folder(tmp_path / "onnx"),
        precision,
        calibration_pictures=2 if precision == "int8" else None,
        training=split_folder(tmp_path / "training", "train", [1, 2]),
        validation=split_folder(tmp_path / "validation", "val", [3]),
    )
    difference = engine.run(made).metrics["max_difference"]
    assert isinstance(difference, float)
    assert difference < 0.1


def test_its_figures_are_those_of_a_perfect_detector(
    inputs: Dict[str, Path], tmp_path: Path
) -> None:
    parameters = EvaluateEngineParameters(DrawingParameters(1, draw_threshold=0.3))
    made = job(tmp_path, parameters, inputs, "evaluation", "emulated")
    assert evaluate_engine.run(made).metrics["AP"] == pytest.approx(1)


def test_its_time_is_measured(inputs: Dict[str, Path], tmp_path: Path) -> None:
    made = job(tmp_path, ProfileParameters(200, 1), inputs, "profile", "emulated")
    median = profile.run(made).metrics["p50"]
    assert isinstance(median, float)
    assert median > 0
