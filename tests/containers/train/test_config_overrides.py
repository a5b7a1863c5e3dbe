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


def test_a_table_is_added_whole_and_merged_into_one_that_is_there(balloon: Config) -> None:
    overrides = {
        "default_hooks.+my": {"type": "EMAHook", "momentum": 0.1},
        "+optim_wrapper": {"clip_grad": {"max_norm": 35}, "optimizer": {"lr": 0.5}},
    }
    apply_overrides(balloon, overrides)
    assert balloon.default_hooks.my.momentum == 0.1
    assert balloon.default_hooks.checkpoint.interval == 10
    assert balloon.optim_wrapper.clip_grad.max_norm == 35
    assert balloon.optim_wrapper.optimizer.lr == 0.5
    assert balloon.optim_wrapper.optimizer.weight_decay == 0.05


def test_a_list_that_replaces_a_tuple_is_one(balloon: Config) -> None:
    """TOML has no tuples, and MMDetection takes no lists for sizes."""
    pipeline = "train_dataloader.dataset.pipeline"
    kept = balloon.train_dataloader.dataset.pipeline
    resize = next(i for i, step in enumerate(kept) if "RandomResize" in step["type"])
    apply_overrides(balloon, {f"{pipeline}.{resize}.scale": [96, 96]})
    assert balloon.train_dataloader.dataset.pipeline[resize].scale == (96, 96)
    balloon.sizes = [(1, 2), (3, 4)]
    apply_overrides(balloon, {"sizes": [[5, 6], [7, 8], [9, 10]]})
    assert balloon.sizes == [(5, 6), (7, 8), (9, 10)]
    pad = {"type": "mmdet.Pad", "size": [64, 64]}
    crop = {"type": "mmdet.RandomCrop", "crop_size": [64, 64]}
    types = {step["type"].split(".")[-1]: step["type"] for step in kept}
    pad["type"], crop["type"] = types["Pad"], types["RandomCrop"]
    apply_overrides(balloon, {pipeline: [crop, pad]})
    assert balloon.train_dataloader.dataset.pipeline[0].crop_size == (64, 64)
    assert balloon.train_dataloader.dataset.pipeline[1].size == (64, 64)


def test_a_key_without_a_value_is_looked_for_only(balloon: Config) -> None:
    before = balloon.to_dict()
    apply_overrides(balloon, {"optim_wrapper.optimizer.lr": None, "+optim_wrapper.x": None})
    assert balloon.to_dict() == before
    with pytest.raises(StageError, match='no "lrr"; the nearest is "lr"'):
        apply_overrides(balloon, {"optim_wrapper.optimizer.lrr": None})


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
