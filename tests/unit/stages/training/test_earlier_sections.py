"""Sections of a training config that MMDetection 2 read: each is named, with what has its place."""

import pytest

from mmdet_jetson.stages.training.earlier_sections import INSTEAD, earlier_warnings


def test_half_precision_as_it_was_asked_for_once_is_told_of() -> None:
    assert earlier_warnings({"fp16": {"loss_scale": 512.0}, "model": {}}) == [
        "fp16 of the training config is of MMDetection 2 and not used "
        "(instead of fp16: optim_wrapper = dict(type='AmpOptimWrapper', ...))"
    ]


@pytest.mark.parametrize("name", INSTEAD)
def test_each_is_seen(name: str) -> None:
    (sentence,) = earlier_warnings({name: 12})

    assert sentence.startswith(f"{name} of the training config")
    assert INSTEAD[name] in sentence


def test_several_are_one_sentence() -> None:
    (sentence,) = earlier_warnings({"lr_config": {}, "total_epochs": 12})

    assert sentence.startswith(
        "lr_config, total_epochs of the training config are of MMDetection 2"
    )


def test_a_config_of_today_has_none() -> None:
    assert earlier_warnings({"optim_wrapper": {}, "param_scheduler": [], "fp16": None}) == []
