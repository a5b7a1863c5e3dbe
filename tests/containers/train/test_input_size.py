"""Input sizes of another shape: what each class of MMDetection reads is what it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine import Config, ConfigDict

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.training.config_loading import load_config
from mmdet_jetson.stages.training.input_size import set_input_size

YOLOX = "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"
DETR = "mmdet::detr/detr_r50_8xb2-150e_coco.py"
SIZES = [(192, 64), (192, 128), (640, 384), (32, 256), (640, 32), (96, 96), (64, 192)]


def resized(base: str, size: Size, folder: Path, more: str = "") -> Config:
    (folder / "mine.py").write_text(f"_base_ = '{base}'\n{more}\n")
    return set_input_size(load_config(folder / "mine.py"), size)


def by_type(pipeline: list[ConfigDict]) -> dict[str, ConfigDict]:
    return {step["type"]: step for step in pipeline}


@pytest.mark.parametrize("size", SIZES)
def test_batches_are_resized_to_sizes_around_the_input(size: Size, tmp_path: Path) -> None:
    """What BatchSyncRandomResize draws has the input's shape and proportion, in whole multiples."""
    config = resized(YOLOX, size, tmp_path)
    (augment,) = config.model.data_preprocessor.batch_augments
    width, height = size
    drawer = MODELS.build(augment)
    drawn = {
        drawer._get_random_size(aspect_ratio=width / height, device=torch.device("cpu"))
        for _ in range(200)
    }
    assert all(high > 0 and wide > 0 and not (high % 32 or wide % 32) for high, wide in drawn)
    least = 32 * -(-(height + 32) // width) if height > width else 32
    # As the config has it: from 320/416 to 640/416 of the input's height.
    allowed = (320 / 416 * height - 16, max(640 / 416 * height + 16, least))
    assert all(min(allowed[0], least) <= high <= allowed[1] for high, _ in drawn)


def test_a_square_input_has_the_range_that_it_has_in_mmdetection(tmp_path: Path) -> None:
    config = resized(YOLOX, (208, 208), tmp_path)
    assert config.model.data_preprocessor.batch_augments[0].random_size_range == (160, 320)


def test_what_padded_to_a_square_pads_to_the_input(tmp_path: Path) -> None:
    config = resized(YOLOX, (208, 104), tmp_path)
    training = by_type(config.train_dataloader.dataset.pipeline)
    assert training["Resize"].scale == training["Pad"].size == (320, 160)
    testing = by_type(config.test_dataloader.dataset.pipeline)
    assert testing["Resize"].scale == testing["Pad"].size == (208, 104)
    assert "pad_to_square" not in [*training["Pad"], *testing["Pad"]]


def test_a_square_stays_padded_to_a_square(tmp_path: Path) -> None:
    config = resized(YOLOX, (208, 208), tmp_path)
    assert by_type(config.test_dataloader.dataset.pipeline)["Pad"].pad_to_square


@pytest.mark.parametrize(
    ("size", "choice"),
    [((667, 400), (667, 240)), ((400, 667), (240, 667)), ((640, 640), (640, 384))],
)
def test_where_the_ratio_is_kept_sides_are_known_by_length(
    size: Size, choice: Size, tmp_path: Path
) -> None:
    """The base tests at (1333, 800): a picture's shorter side was up to 0.6 of that of the test."""
    step = {"type": "RandomChoiceResize", "scales": [(480, 1333)], "keep_ratio": True}
    more = f"train_dataloader = dict(dataset=dict(pipeline=[{step}]))"
    config = resized("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", size, tmp_path, more)
    (changed,) = config.train_dataloader.dataset.pipeline
    assert sorted(changed.scales[0]) == sorted(choice)
    assert by_type(config.test_dataloader.dataset.pipeline)["Resize"].scale == size


def test_random_choices_and_ranges_keep_their_proportions(tmp_path: Path) -> None:
    """The choices are of the shorter and the longer side, the crop is a range along each side."""
    config = resized(DETR, (667, 400), tmp_path)
    (choice,) = (
        step for step in config.train_dataloader.dataset.pipeline if step["type"] == "RandomChoice"
    )
    (first,), (scaled, crop, _) = choice.transforms
    assert first.scales[0] == (667, 240)
    assert scaled.scales[0] == (667, 200)
    assert crop.crop_size == (192, 300)
    other = resized(DETR, (640, 640), tmp_path)
    (choice,) = (
        step for step in other.train_dataloader.dataset.pipeline if step["type"] == "RandomChoice"
    )
    (first,), (_, crop, _) = choice.transforms
    assert first.scales[0] == (640, 384)
    assert crop.crop_size == (307, 480)


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        ({"type": "RandomCrop", "crop_size": (1, 1), "crop_type": "relative_range"}, {}),
        ({"type": "RandomCrop", "crop_size": (416, 208)}, {"crop_size": (192, 32)}),
        ({"type": "Resize", "scale": 416}, {"scale": (192, 64)}),
        ({"type": "FixShapeResize", "width": 416, "height": 416}, {"width": 192, "height": 64}),
        ({"type": "RandomCenterCropPad", "border": 128}, {}),
        ({"type": "InstaBoost", "scale": (0.8, 1.2)}, {}),
        ({"type": "BatchFixedSizePad", "size": (208, 416)}, {"size": (32, 192)}),
    ],
)
def test_a_size_is_changed_as_its_class_reads_it(
    step: dict[str, object], changed: dict[str, object], tmp_path: Path
) -> None:
    more = f"model = dict(data_preprocessor=dict(batch_augments=[{step}]))"
    config = resized(YOLOX, (192, 64), tmp_path, more)
    assert config.model.data_preprocessor.batch_augments[0] == {**step, **changed}
