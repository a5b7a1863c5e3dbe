from pathlib import Path

import numpy as np
import pytest
from built_engines import CLASSES, engine_folder

from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.inference.detector import Detector


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    return open_engine(engine_folder(tmp_path))


def test_boxes_come_back_in_pixels_of_the_picture_best_first(detector: Detector) -> None:
    picture = np.zeros((96, 128, 3), np.uint8)

    best, second = detector.detect(picture)

    assert detector.classes == tuple(CLASSES)
    assert (best.label, second.label) == (0, 1)
    assert best.score == pytest.approx(0.9)
    assert best.box == pytest.approx((64, 32, 96, 96))
    assert second.box == pytest.approx((16, 16, 48, 48))


def test_the_scale_of_each_axis_is_that_of_the_rounded_size(detector: Detector) -> None:
    # 101x33 becomes 64x21: 21 / 33 is not 64 / 101.
    best = detector.detect(np.zeros((33, 101, 3), np.uint8))[0]

    assert best.box == pytest.approx((32 * 101 / 64, 16 * 33 / 21, 48 * 101 / 64, 33), rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 2000), (2000, 1), (1, 1)])
def test_extreme_pictures_give_boxes_inside_them(
    detector: Detector, shape: tuple[int, int]
) -> None:
    height, width = shape

    for detection in detector.detect(np.zeros((*shape, 3), np.uint8)):
        left, top, right, bottom = detection.box
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height


@pytest.mark.parametrize(
    "row", [[0, 0, 0, 0, 0], [10, 50, 20, 60, 0.9], [20, 10, 10, 20, 0.9], [10, 10, 20, 20, 0]]
)
def test_filling_rows_and_boxes_outside_the_picture_are_no_detections(
    tmp_path: Path, row: list[float]
) -> None:
    empty = open_engine(engine_folder(tmp_path, dets=[row], labels=[0]))

    # 128x96 fills 64x48 of the network: below y = 48 is padding.
    assert empty.detect(np.zeros((96, 128, 3), np.uint8)) == []
