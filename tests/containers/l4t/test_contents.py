"""A device's image holds what its stages need, and nothing of what made the network."""

import importlib
import importlib.util

import pytest


@pytest.mark.parametrize("name", ["torch", "torchvision", "mmcv", "mmdet", "mmdeploy", "mmengine"])
def test_the_training_side_is_absent(name: str) -> None:
    assert importlib.util.find_spec(name) is None


@pytest.mark.parametrize(
    "stage", ["engine", "evaluate_engine", "export_for", "preflight", "profile", "prove"]
)
def test_a_stage_can_be_loaded(stage: str) -> None:
    assert callable(importlib.import_module(f"mmdet_jetson.stages.{stage}").run)
