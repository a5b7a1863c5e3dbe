"""Schedules for another number of epochs: what MMEngine counts in epochs is stretched."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.registry import PARAM_SCHEDULERS
from mmdet.utils import register_all_modules
from mmengine import Config

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.schedule import check_schedule, set_epochs


def config_of(epochs: int, **parts: Any) -> Config:
    return Config({"train_cfg": {"max_epochs": epochs}, "model": {}, **parts})


def stretched(scheduler: dict[str, Any], before: int = 12, after: int = 24) -> dict[str, Any]:
    config = config_of(before, param_scheduler=[scheduler])
    assert set_epochs(config, after) == []
    return dict(config.param_scheduler[0])


def rates(scheduler: dict[str, Any], epochs: int) -> list[float]:
    """Give the learning rate of every epoch, as MMEngine computes it."""
    register_all_modules()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    built = PARAM_SCHEDULERS.build(
        {"end": epochs, **scheduler}, default_args={"optimizer": optimizer}
    )
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    return found


@pytest.mark.parametrize(
    "scheduler",
    [
        {"type": "StepLR", "step_size": 3},
        {"type": "MultiStepLR", "milestones": [8, 11], "gamma": 0.1},
        {"type": "ExponentialLR", "gamma": 0.5},
        {"type": "CosineRestartLR", "periods": [4, 8], "restart_weights": [1, 0.5], "eta_min": 0},
        {"type": "CosineAnnealingLR", "T_max": 12, "eta_min": 0},
    ],
)
def test_at_half_of_a_training_its_rate_is_the_same(scheduler: dict[str, Any]) -> None:
    before, after = rates(scheduler, 12), rates(stretched(scheduler), 24)
    assert after[::2] == pytest.approx(before)


@pytest.mark.parametrize("epochs", [1, 5, 12, 18])
def test_one_cycle_lasts_for_the_training(epochs: int) -> None:
    scheduler = {"type": "OneCycleLR", "eta_max": 0.01, "total_steps": 8}
    changed = stretched(scheduler, 8, epochs)
    assert changed["total_steps"] == epochs
    assert len(rates(changed, epochs)) == epochs


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_few_epochs_leave_values_that_mmengine_takes(epochs: int) -> None:
    assert stretched({"type": "StepLR", "step_size": 3}, 12, epochs)["step_size"] >= 1
    restart = {"type": "CosineRestartLR", "periods": [4, 8]}
    assert min(stretched(restart, 12, epochs)["periods"]) >= 1
    multi = {"type": "MultiStepLR", "milestones": [1, 11]}
    assert min(stretched(multi, 12, epochs)["milestones"]) >= 1


def test_hooks_and_heads_that_count_in_epochs_are_stretched() -> None:
    config = config_of(
        100,
        model={"bbox_head": {"train_cfg": {"initial_epoch": 4}}},
        custom_hooks=[
            {"type": "EMAHook", "begin_epoch": 50},
            {"type": "EMAHook", "begin_epoch": 0, "begin_iter": 7},
            {"type": "YOLOXModeSwitchHook"},
        ],
        default_hooks={"switch": {"type": "PipelineSwitchHook", "switch_epoch": 90}},
    )
    config.train_cfg.update(val_begin=20, dynamic_intervals=[(80, 1)])
    assert set_epochs(config, 10) == []
    assert config.model.bbox_head.train_cfg.initial_epoch == 0
    late, early, mode = config.custom_hooks
    assert (late.begin_epoch, early.begin_epoch, early.begin_iter) == (5, 0, 7)
    assert mode.num_last_epochs == 2
    assert config.default_hooks.switch.switch_epoch == 9
    assert config.train_cfg.val_begin == 2
    assert config.train_cfg.dynamic_intervals == [(8, 1)]


def test_an_average_that_begins_with_an_epoch_still_does() -> None:
    config = config_of(100, custom_hooks=[{"type": "EMAHook", "begin_epoch": 10}])
    set_epochs(config, 1)
    assert config.custom_hooks[0].begin_epoch == 1


def test_what_cannot_be_stretched_is_told() -> None:
    config = config_of(
        100,
        param_scheduler=[
            {"type": "LinearLR", "by_epoch": False, "end": 500},
            {"type": "CosineAnnealingLR", "by_epoch": False, "T_max": 9000},
        ],
        custom_hooks=[{"type": "MyHook", "start_epoch": 3, "by_epoch": True}],
    )
    cosine, hook = set_epochs(config, 10)
    assert cosine.startswith("the CosineAnnealingLR in param_scheduler stays as it is")
    assert hook.startswith("start_epoch of the hook MyHook stays as it is")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"param_scheduler": {"type": "OneCycleLR", "total_steps": 8}}, "total_steps of the One"),
        ({"custom_hooks": [{"type": "EMAHook", "begin_epoch": 13}]}, "begins in epoch 13"),
    ],
)
def test_a_schedule_that_stops_a_training_is_refused(parts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StageError, match=sentence):
        check_schedule(config_of(12, **parts))
