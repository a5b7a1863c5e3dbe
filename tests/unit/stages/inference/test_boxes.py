import numpy as np

from mmdet_jetson.stages.inference.boxes import clip_boxes

BOXES = np.array(
    [[10, 10, 20, 20], [-5, -5, 300, 300], [10, 60, 20, 70], [20, 10, 10, 20]], np.float32
)


def test_boxes_end_at_the_border_and_only_those_that_cover_something_count() -> None:
    clipped, covers = clip_boxes(BOXES, (100, 50))

    assert clipped[:2].tolist() == [[10, 10, 20, 20], [0, 0, 100, 50]]
    assert covers.tolist() == [True, True, False, False]


def test_no_boxes_stay_no_boxes() -> None:
    clipped, covers = clip_boxes(BOXES[:0], (100, 50))

    assert clipped.shape == (0, 4)
    assert covers.shape == (0,)
