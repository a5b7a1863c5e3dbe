import numpy as np
import pytest

from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.proving.matching import Deviation, by_picture, deviation

SIDE = 1000


def rows(*listed: list[float]) -> np.ndarray:
    return np.array(listed, np.float64).reshape(-1, 6)


A = [10, 10, 50, 50, 0.9, 1]
B = [100, 100, 160, 140, 0.5, 1]


def test_the_largest_differences_of_pairs_are_told() -> None:
    found = rows([100, 100.5, 160, 140, 0.5, 1], [10, 10, 50.25, 50, 0.88, 1])

    told = deviation(rows(A, B), found, SIDE)

    assert (told.matched, told.missing, told.extra, told.box) == (2, 0, 0, 0.5)
    assert told.score == pytest.approx(0.02)


def test_a_partner_is_taken_once() -> None:
    assert deviation(rows(A, A), rows(A), SIDE) == Deviation(matched=1, missing=1)


@pytest.mark.parametrize(
    "other", [[10, 10, 50, 50, 0.9, 2], [10, 10, 50, 61, 0.9, 1]], ids=["class", "place"]
)
def test_another_class_or_place_is_no_partner(other: list[float]) -> None:
    assert deviation(rows(A), rows(other), SIDE) == Deviation(missing=1, extra=1)


def test_of_two_equal_boxes_the_one_with_the_score_is_meant() -> None:
    fainter = [*A[:4], 0.4, 1]

    assert deviation(rows(A, fainter), rows(fainter, A), SIDE) == Deviation(matched=2)


@pytest.mark.parametrize("reference", [rows(A), rows()])
def test_noise_needs_no_partner_and_may_be_one(reference: np.ndarray) -> None:
    noise = [300, 300, 310, 310, 0.005, 1]
    at_the_limit = [10, 10, 50, 50, 0.0101, 1]
    below_it = [10, 10, 50, 50, 0.0099, 1]

    assert deviation(reference, np.vstack([reference, rows(noise)]), SIDE).extra == 0
    assert deviation(rows(noise), rows(), SIDE).missing == 0
    assert deviation(rows(at_the_limit), rows(below_it), SIDE).matched == 1


def test_nothing_against_nothing_deviates_by_nothing() -> None:
    assert deviation(rows(), rows(), SIDE) == Deviation()


def test_pictures_add_up_to_the_worst_of_them() -> None:
    total = Deviation(3, 1, 0, 0.5, 0.1) + Deviation(2, 0, 4, 0.25, 0.2)

    assert total == Deviation(5, 1, 4, 0.5, 0.2)


def test_predictions_are_sorted_by_picture_with_their_corners() -> None:
    predictions: list[Prediction] = [
        {"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.25},
    ]

    assert {picture: found.tolist() for picture, found in by_picture(predictions).items()} == {
        7: [[1, 2, 4, 6, 0.5, 2]],
        9: [[0, 0, 1, 1, 0.25, 1]],
    }
