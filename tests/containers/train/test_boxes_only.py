"""A training learns boxes: masks that a config loads, or would learn, are refused before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine import Config

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.boxes_only import check_boxes_only
from mmdet_jetson.stages.training.config_loading import load_config

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "configs/train/rtmdet_tiny_demo.py"
BALLOON = ROOT / "configs/train/rtmdet_tiny_1xb12-40e_balloon.py"


def refused(config: Config) -> StageError:
    with pytest.raises(StageError) as caught:
        check_boxes_only(config, "the training config mine.py")
    return caught.value


@pytest.mark.parametrize("path", [DEMO, BALLOON])
def test_the_shipped_configs_learn_boxes(path: Path) -> None:
    check_boxes_only(load_config(path), path.name)


@pytest.mark.parametrize(
    ("option", "what"), [("with_mask", "masks"), ("with_seg", "semantic segmentation")]
)
def test_what_is_loaded_besides_boxes_is_refused(option: str, what: str) -> None:
    config = load_config(DEMO)
    step = config.train_dataloader.dataset.pipeline[1]
    step[option] = False
    check_boxes_only(config, "mine.py")
    step[option] = True
    error = refused(config)
    assert error.message == (
        f"LoadAnnotations in train_dataloader of the training config mine.py loads {what} "
        f"({option}), but a training here learns boxes only"
    )
    assert error.hint == f"set {option}=False in the config"


def test_the_pipeline_of_the_last_epochs_counts() -> None:
    config = load_config(BALLOON)
    config.custom_hooks[1].switch_pipeline[1].with_mask = True
    assert "LoadAnnotations in custom_hooks of" in refused(config).message


def test_a_validation_may_load_what_it_does_not_use() -> None:
    config = load_config(DEMO)
    step = {"type": "LoadAnnotations", "with_mask": True}
    config.val_dataloader.dataset.pipeline.insert(1, step)
    check_boxes_only(config, "mine.py")


@pytest.mark.parametrize(
    ("base", "head"),
    [
        ("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", "mask_head"),
        ("solov2/solov2_r50_fpn_1x_coco.py", "mask_head"),
        ("rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py", "bbox_head"),
    ],
)
def test_a_model_of_masks_is_refused_whatever_measures_it(
    tmp_path: Path, base: str, head: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        f"_base_ = 'mmdet::{base}'\nval_evaluator = test_evaluator = dict(metric='bbox')\n"
    )
    message = refused(load_config(path)).message
    assert f"mine.py is one for instance segmentation ({head} of its model)" in message
