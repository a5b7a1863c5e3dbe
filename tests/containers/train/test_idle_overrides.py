"""Overrides that would change nothing, and the keys that their sentences name instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.config_loading import load_config
from mmdet_jetson.stages.training.idle_overrides import check_effective

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "configs/train/rtmdet_tiny_demo.py"


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("max_epochs", "set train.epochs"),
        ("base_lr", 'override "optim_wrapper.optimizer.lr"'),
        ("train_pipeline.3.prob", 'override "train_dataloader.dataset.pipeline.3.prob"'),
        ("+train_pipeline.3.prob", 'override "train_dataloader.dataset.pipeline.3.prob"'),
        ("test_pipeline.1.scale", 'override "test_dataloader.dataset.pipeline.1.scale"'),
        ("pad.size", 'override "train_dataloader.dataset.pipeline.4.size"'),
        ("interval", 'override "default_hooks.checkpoint.interval"'),
        ("cosine_from", "such as optim_wrapper.optimizer.lr"),
        ("data_root", "set it below [dataset] in pipeline.toml"),
        ("+new", "such as optim_wrapper.optimizer.lr"),
        ("train_dataloader.dataset.ann_file", "set it below [dataset] in pipeline.toml"),
        ("val_dataloader.dataset.data_prefix.img", "set it below [dataset] in pipeline.toml"),
        ("+test_evaluator.ann_file", "set it below [dataset] in pipeline.toml"),
    ],
)
def test_an_override_without_effect_names_the_key_that_has_one(key: str, advice: str) -> None:
    with pytest.raises(StageError, match="would change nothing") as error:
        check_effective(load_config(DEMO), [key], has_modules=False)
    assert f'"{key}"' in error.value.message
    assert advice in error.value.hint


@pytest.mark.parametrize(
    "key",
    [
        "optim_wrapper.optimizer.lr",
        "+optim_wrapper.clip_grad",
        "train_dataloader.dataset.pipeline.3.prob",
        "+train_dataloader.dataset.filter_cfg",
        "model.backbone.frozen_stages",
        "log_level",
        "+experiment_name",
        "load_from",
        "optim_wraper.optimizer.lr",
    ],
)
def test_an_override_with_an_effect_is_none_of_these(key: str) -> None:
    assert check_effective(load_config(DEMO), [key], has_modules=False) == []


def test_modules_of_ones_own_may_read_anything(tmp_path: Path) -> None:
    (warning,) = check_effective(load_config(DEMO), ["max_epochs"], has_modules=True)
    assert "only what modules of your own may" in warning
