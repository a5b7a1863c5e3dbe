"""Dotted overrides of a training config: what they change, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine import Config

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.config_overrides import apply_overrides

BALLOON = Path(__file__).parents[3] / "configs/train/rtmdet_tiny_1xb12-40e_balloon.py"


@pytest.fixture
def balloon() -> Config:
    return Config.fromfile(str(BALLOON))


def test_overrides_replace_and_add(balloon: Config) -> None:
    overrides = {
        "optim_wrapper.optimizer.lr": 0.5,
        "param_scheduler.0.end": 7,
        "+optim_wrapper.clip_grad": {"max_norm": 35},
        "log_level": "ERROR",
    }
    apply_overrides(balloon, overrides)
    assert balloon.optim_wrapper.optimizer.lr == 0.5
    assert balloon.param_scheduler[0].end == 7
    assert balloon.optim_wrapper.clip_grad.max_norm == 35
    assert balloon.log_level == "ERROR"


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("optim_wraper.optimizer.lr", 'no "optim_wraper"; the nearest is "optim_wrapper"'),
        ("optim_wrapper.optimizer.rl", 'no "rl"; the nearest is "lr"'),
        ("param_scheduler.5.end", 'no "5"'),
        ("optim_wrapper.optimizer.lr.x", "nothing to set below it"),
        ("+optim_wraper.clip_grad", 'the nearest is "optim_wrapper"'),
        ("+param_scheduler.x", "nothing to set below it"),
    ],
)
def test_an_override_that_misses_names_the_nearest_key(
    balloon: Config, key: str, sentence: str
) -> None:
    with pytest.raises(StageError) as error:
        apply_overrides(balloon, {key: 1})
    assert sentence in error.value.message
