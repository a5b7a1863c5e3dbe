"""Weights that a config names: never used, and never left unused without a word."""

from __future__ import annotations

import pytest
from mmengine import Config

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.starting_point import NamedWeights, take_named_weights

ADDRESS = "torchvision://resnet50"
PRETRAINED = {"type": "Pretrained", "checkpoint": "weights/own.pth"}
CONSTANT = {"type": "Constant", "val": 0}


@pytest.mark.parametrize(
    ("backbone", "found", "left"),
    [
        ({"init_cfg": PRETRAINED}, ["weights/own.pth"], {"init_cfg": None}),
        ({"init_cfg": [CONSTANT, PRETRAINED]}, ["weights/own.pth"], {"init_cfg": [CONSTANT]}),
        ({"init_cfg": [PRETRAINED]}, ["weights/own.pth"], {"init_cfg": None}),
        ({"init_cfg": [CONSTANT]}, [], {"init_cfg": [CONSTANT]}),
        ({"init_cfg": CONSTANT}, [], {"init_cfg": CONSTANT}),
        ({"init_cfg": None}, [], {"init_cfg": None}),
        ({"pretrained": ADDRESS}, [ADDRESS], {"pretrained": None}),
        ({"pretrained": True}, [], {"pretrained": True}),
    ],
)
def test_all_that_a_model_would_load_is_taken_out(
    backbone: dict[str, object], found: list[str], left: dict[str, object]
) -> None:
    config = Config({"model": {"backbone": backbone}, "load_from": "coco.pth", "resume": True})
    assert take_named_weights(config) == NamedWeights("coco.pth", tuple(found), True)
    assert config.model.backbone == left
    assert (config.load_from, config.resume) == (None, False)


def test_weights_of_a_teacher_are_refused() -> None:
    model = {"teacher_ckpt": "http://x/gfl.pth", "teacher_config": {"model": {}}}
    with pytest.raises(StageError, match=r"a teacher, whose weights http://x/gfl\.pth"):
        take_named_weights(Config({"model": model}))
    assert take_named_weights(Config({"model": {"teacher_ckpt": None}})).parts == ()


def test_a_config_that_names_none_gets_no_warning() -> None:
    assert take_named_weights(Config({"model": {}})).warnings(has_weights=False) == []


@pytest.mark.parametrize(
    ("named", "what"),
    [
        (NamedWeights("work/coco.pth", (), False), "starts from work/coco.pth (load_from)"),
        (NamedWeights("http://x/coco.pth", (), True), "starts from http://x/coco.pth (load_from)"),
        (NamedWeights("", ("own.pth",), False), "starts from own.pth (init_cfg)"),
    ],
)
def test_a_file_to_start_from_belongs_into_the_pipeline(named: NamedWeights, what: str) -> None:
    with pytest.raises(StageError) as error:
        named.warnings(has_weights=False)
    assert what in error.value.message
    assert "belongs into train.weights" in error.value.message
    (unused, *_) = named.warnings(has_weights=True)
    assert unused.startswith("the training starts from train.weights, and not from ")


def test_what_would_be_downloaded_is_named() -> None:
    named = NamedWeights("", (ADDRESS,), False)
    (warning,) = named.warnings(has_weights=False)
    assert f"no network to download {ADDRESS}" in warning
    assert named.warnings(has_weights=True) == []


def test_resuming_is_the_pipeline_s_business() -> None:
    (warning,) = NamedWeights("", (), True).warnings(has_weights=False)
    assert warning.startswith("resume of the training config is not used")
