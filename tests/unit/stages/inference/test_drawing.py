import numpy as np
import pytest

from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.drawing import Pen, colour_of, draw

CLASSES = ["balloon", "kite"]
GREY = np.full((400, 600, 3), 128, np.uint8)


def share_of(colour: tuple[int, int, int], line: np.ndarray) -> float:
    return float(np.mean(np.all(line == colour, axis=-1)))


def test_detections_are_solid_and_ground_truth_is_dashed() -> None:
    found = Detection((100, 100, 300, 300), 0.9, 0)
    real = Detection((350, 100, 550, 300), 1.0, 0)

    drawn = draw(GREY, [found], CLASSES, [real])

    assert share_of(colour_of(0), drawn[300, 100:301]) == 1
    assert 0.3 < share_of(colour_of(0), drawn[300, 350:551]) < 0.7


def test_classes_have_their_own_colours() -> None:
    detections = [Detection((20 + 200 * i, 100, 120 + 200 * i, 300), 0.5, i) for i in range(2)]

    drawn = draw(GREY, detections, CLASSES)

    assert share_of(colour_of(0), drawn[300, 20:121]) == 1
    assert share_of(colour_of(1), drawn[300, 220:321]) == 1
    assert len({colour_of(label) for label in range(80)}) == 80


def test_the_picture_is_not_changed_and_the_legend_comes_below() -> None:
    picture = GREY.copy()

    drawn = draw(picture, [Detection((10, 10, 50, 50), 0.5, 1)], CLASSES)

    assert np.array_equal(picture, GREY)
    assert drawn.shape[1:] == (600, 3)
    assert drawn.shape[0] > 400
    assert drawn.dtype == np.uint8
    assert drawn[400:].max() > 200


def test_the_better_of_two_detections_is_on_top() -> None:
    box = (100.0, 100.0, 300.0, 300.0)

    drawn = draw(GREY, [Detection(box, 0.9, 0), Detection(box, 0.1, 1)], CLASSES)

    assert share_of(colour_of(0), drawn[300, 100:301]) == 1


def test_text_grows_with_the_picture() -> None:
    def legend_height(side: int) -> int:
        height: int = draw(np.zeros((side, side, 3), np.uint8), [], CLASSES).shape[0]
        return height - side

    assert legend_height(2400) > 1.8 * legend_height(1200)


@pytest.mark.parametrize("shape", [(1, 2000), (2000, 1), (1, 1)])
def test_extreme_shapes_and_boxes_outside_are_drawn(shape: tuple[int, int]) -> None:
    outside = Detection((-50, -50, 5000, 5000), 0.5, 0)

    assert draw(np.zeros((*shape, 3), np.uint8), [outside], ["bällon"]).shape[1] == shape[1]


def test_labels_keep_clear_of_each_other_where_they_are_told_to() -> None:
    taken: list[tuple[int, int, int, int]] = []
    pen = Pen(GREY.copy())
    for _ in range(6):
        pen.label("balloon 0.50", (100, 100, 300, 300), colour_of(0), taken)
    assert len(set(taken)) == 6
    for at, (left, top, right, bottom) in enumerate(taken):
        assert left >= 0 <= top
        assert bottom < GREY.shape[0]
        for other in taken[at + 1 :]:
            assert bottom <= other[1] or other[3] <= top or right <= other[0]


def test_a_label_without_a_free_place_is_where_it_would_be() -> None:
    pen = Pen(GREY.copy())
    everywhere = [(0, 0, 600, 400)]
    pen.label("kite", (100, 100, 300, 300), colour_of(0), everywhere)
    assert everywhere[1][3] == 100
