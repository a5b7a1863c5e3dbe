import numpy as np
import pytest

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.inference.graph import PostProcessing
from mmdet_jetson.stages.proving.deviation import Deviation, by_picture, deviation

SIDE = 1000
TOLERANCES = Tolerances(from_score=0.01, box=0.001, score=0.01, alone=0)
A = [10, 10, 50, 50, 0.9, 1]
B = [100, 100, 160, 140, 0.5, 1]
NAN = float("nan")
NO_LIMITS = PostProcessing()


def rows(*listed: list[float]) -> np.ndarray:
    return np.array(listed, np.float64).reshape(-1, 6)


def told(reference: np.ndarray, found: np.ndarray, limits: PostProcessing = NO_LIMITS) -> Deviation:
    return deviation(reference, found, SIDE, TOLERANCES, limits)


def test_the_largest_differences_of_pairs_are_told() -> None:
    found = rows([100, 100.5, 160, 140, 0.5, 1], [10, 10, 50.25, 50, 0.895, 1])

    both = told(rows(A, B), found)

    assert (both.matched, both.off, both.missing, both.extra) == (2, 0, 0, 0)
    assert both.box == pytest.approx(0.0005)
    assert both.score == pytest.approx(0.005)
    assert both.alone == 0


@pytest.mark.parametrize(
    ("changed", "box", "score"),
    [([12, 10, 50, 50, 0.9, 1], 0.002, 0), ([10, 10, 50, 50, 0.7, 1], 0, 0.2)],
    ids=["shifted", "rescored"],
)
def test_a_pair_beyond_the_tolerances_is_told_from_a_missing_one(
    changed: list[float], box: float, score: float
) -> None:
    both = told(rows(A, B), rows(changed, B))

    assert (both.matched, both.off, both.missing, both.extra) == (1, 1, 0, 0)
    assert (both.box, both.score) == pytest.approx((box, score))
    assert both.alone == 0.5


@pytest.mark.parametrize("shared", [A, B], ids=["best", "second"])
def test_what_moved_takes_no_partner_from_what_did_not(shared: list[float]) -> None:
    """Else one lost detection would make two of them deviate."""
    near = [shared[0] + 3, *shared[1:4], 0.99, 1]

    assert told(rows(near, shared), rows(shared)) == Deviation(matched=1, missing=1)


@pytest.mark.parametrize(
    "other", [[10, 10, 50, 50, 0.9, 2], [10, 10, 50, 101, 0.9, 1]], ids=["class", "place"]
)
def test_another_class_or_place_is_no_partner(other: list[float]) -> None:
    assert told(rows(A), rows(other)) == Deviation(missing=1, extra=1)


def test_a_duplicate_is_extra() -> None:
    assert told(rows(A), rows(A, A)) == Deviation(matched=1, extra=1)


@pytest.mark.parametrize("place", range(5))
def test_what_is_no_number_has_no_partner(place: int) -> None:
    broken = [*A[:place], NAN, *A[place + 1 :]]

    assert told(rows(A), rows(broken)) == Deviation(missing=1, extra=1)
    assert told(rows(broken), rows(A)) == Deviation(missing=1, extra=1)
    assert told(rows(broken), rows(broken)) == Deviation(missing=1, extra=1)


def test_noise_needs_no_partner_and_may_be_one() -> None:
    noise = [300, 300, 310, 310, 0.005, 1]
    at_the_limit = [10, 10, 50, 50, 0.0101, 1]
    below_it = [10, 10, 50, 50, 0.0099, 1]

    assert told(rows(A), rows(A, noise)) == Deviation(matched=1)
    assert told(rows(A, noise), rows(A)) == Deviation(matched=1)
    assert told(rows(at_the_limit), rows(below_it)).matched == 1


def test_where_there_is_only_noise_the_best_of_it_is_compared() -> None:
    """Else nothing could be proven of a network that has just begun to learn."""
    noise, fainter = [300, 300, 310, 310, 0.005, 1], [10, 10, 50, 50, 0.004, 1]

    assert told(rows(noise, fainter), rows(noise)) == Deviation(matched=1)
    assert told(rows(noise, fainter), rows(fainter)) == Deviation(missing=1)
    assert told(rows(), rows(noise, fainter)) == Deviation(extra=1)


def test_what_the_limits_of_the_graph_may_have_cut_off_needs_no_partner() -> None:
    """Rounding decides on which side of a limit a score is."""
    faint = [300, 300, 310, 310, 0.055, 1]
    threshold = PostProcessing(score_threshold=0.05)
    full = PostProcessing(keep=2)

    assert told(rows(A, faint), rows(A), threshold) == Deviation(matched=1)
    assert told(rows(A), rows(A, faint), threshold) == Deviation(matched=1)
    assert told(rows(A, faint), rows(A)) == Deviation(matched=1, missing=1)
    assert told(rows(A, B, faint), rows(A, B), full) == Deviation(matched=2)
    assert told(rows(A, B, faint), rows(A), full) == Deviation(matched=1, missing=2)


def test_filling_all_rows_with_inventions_hides_nothing() -> None:
    invented = [[20.0 * n, 500, 20.0 * n + 10, 510, 0.95, 1] for n in range(10)]

    assert told(rows(A, B), rows(*invented), PostProcessing(keep=10)) == Deviation(extra=10)


def test_nothing_against_nothing_proves_nothing() -> None:
    assert told(rows(), rows()) == Deviation()
    assert Deviation().alone == 1


def test_the_larger_share_without_a_partner_counts() -> None:
    assert Deviation(matched=8, off=1, missing=1).alone == 0.2
    assert Deviation(matched=8, extra=2).alone == 0.2
    assert Deviation(missing=1, extra=1).alone == 1


def test_pictures_add_up_to_the_worst_of_them() -> None:
    total = Deviation(3, 1, 1, 0, 0.5, 0.1) + Deviation(2, 0, 0, 4, 0.25, 0.2)

    assert total == Deviation(5, 1, 1, 4, 0.5, 0.2)


def test_predictions_are_sorted_by_picture_with_their_corners() -> None:
    predictions: list[Prediction] = [
        {"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.25},
    ]

    assert {picture: found.tolist() for picture, found in by_picture(predictions).items()} == {
        7: [[1, 2, 4, 6, 0.5, 2]],
        9: [[0, 0, 1, 1, 0.25, 1]],
    }
