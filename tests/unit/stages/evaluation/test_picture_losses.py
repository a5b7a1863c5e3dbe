"""What a picture costs, against pycocotools with that picture made perfect."""

from pathlib import Path

import numpy as np
import pytest
from cocos_precision import cocos_precision
from small_splits import Found, Object, drawn_split, overlaps_by_hand, write_split

from mmdet_jetson.stages.annotations.coco_file import CocoFile, Prediction
from mmdet_jetson.stages.evaluation.analysis import count
from mmdet_jetson.stages.evaluation.overlaps import Overlaps, overlaps_of
from mmdet_jetson.stages.evaluation.picture_losses import picture_losses

BOX = (100.0, 100.0, 100.0, 100.0)


def losses(overlaps: Overlaps) -> list[float]:
    counted = count(overlaps)
    lost: list[float] = picture_losses(overlaps, counted.right, counted.wrong).tolist()
    return lost


def cocos_ap50(content: CocoFile, predictions: list[Prediction]) -> float:
    precision = cocos_precision(content, predictions)[0, :, :, 0]
    return float(np.mean(precision[precision > -1]))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_ap50_would_rise_by(seed: int, tmp_path: Path) -> None:
    content, predictions = drawn_split(seed, pictures=8, decimals=1 + seed)
    lost = losses(overlaps_of(write_split(tmp_path, content), predictions))
    before = cocos_ap50(content, predictions)
    for picture in range(1, 9):
        others = [each for each in predictions if each["image_id"] != picture]
        perfect: list[Prediction] = [
            {
                "image_id": picture,
                "category_id": each["category_id"],
                "bbox": each["bbox"],
                "score": 2.0,
            }
            for each in content["annotations"]
            if each["image_id"] == picture and not each["iscrowd"]
        ]
        after = cocos_ap50(content, others + perfect)
        assert lost[picture - 1] == pytest.approx(after - before, abs=1e-9)


def test_a_perfect_picture_costs_nothing(tmp_path: Path) -> None:
    objects: list[Object] = [(1, 1, BOX), (2, 1, BOX)]
    found: list[Found] = [(1, 1, BOX, 0.9)]
    lost = losses(overlaps_by_hand(tmp_path, objects, found, pictures=3))
    assert lost[0] == pytest.approx(0)
    assert lost[1] == pytest.approx(1 - 51 / 101)  # recall ends at 0.5, with levels from 0 on
    assert lost[2] == 0


def test_without_objects_nothing_can_be_lost(tmp_path: Path) -> None:
    assert losses(overlaps_by_hand(tmp_path, [], [(1, 1, BOX, 0.9)])) == [0]
