import numpy as np
import pytest

from mmdet_jetson.stages.inference.matching import cut_off, partners

SIDE = 1000
A = [10, 10, 50, 50, 0.9, 1]
B = [100, 100, 160, 140, 0.5, 1]
NAN = float("nan")


def rows(*listed: list[float]) -> np.ndarray:
    return np.array(listed, np.float64).reshape(-1, 6)


def chosen(reference: np.ndarray, found: np.ndarray, *limits: float) -> list[int]:
    listed: list[int] = partners(reference, found, SIDE, *limits).tolist()
    return listed


def test_places_in_the_lists_do_not_matter() -> None:
    assert chosen(rows(A, B), rows(B, A)) == [1, 0]


@pytest.mark.parametrize(("reference", "found"), [((A, A), (A,)), ((A,), (A, A))])
def test_a_partner_is_taken_once(reference: list[list[float]], found: list[list[float]]) -> None:
    assert sum(each >= 0 for each in chosen(rows(*reference), rows(*found))) == 1


@pytest.mark.parametrize(
    "other",
    [[10, 10, 50, 50, 0.9, 2], [10, 10, 50, 101, 0.9, 1], *[[*A[:n], NAN, *A[n + 1:]] for n in range(6)]],
    ids=["class", "place", *(f"nan-{n}" for n in range(6))],
)  # fmt: skip
def test_another_class_another_place_and_what_is_no_number_is_no_partner(
    other: list[float],
) -> None:
    assert chosen(rows(A), rows(other)) == chosen(rows(other), rows(A)) == [-1]


def test_what_is_no_number_takes_no_partner_from_others() -> None:
    assert chosen(rows([*A[:4], NAN, 1], A), rows(A)) == [-1, 0]
    assert chosen(rows(A), rows([*A[:4], NAN, 1], A)) == [1]


def test_of_two_equal_boxes_the_one_with_the_score_is_meant() -> None:
    fainter = [*A[:4], 0.4, 1]

    assert chosen(rows(A, fainter), rows(fainter, A)) == [1, 0]


def test_limits_of_place_and_score_are_kept() -> None:
    moved, rescored = [11, 10, 51, 50, 0.9, 1], [*A[:4], 0.8, 1]

    assert chosen(rows(A), rows(moved), 0.001) == [0]
    assert chosen(rows(A), rows(moved), 0.0009) == [-1]
    assert chosen(rows(A), rows(rescored), 0.001, 0.11) == [0]
    assert chosen(rows(A), rows(rescored), 0.001, 0.09) == [-1]


@pytest.mark.parametrize("reference", [rows(), rows(A)])
def test_nothing_has_no_partner(reference: np.ndarray) -> None:
    assert chosen(reference, rows()) == [-1] * len(reference)
    assert chosen(rows(), reference) == []


def test_a_list_is_whole_down_to_its_threshold_or_its_faintest_where_it_is_full() -> None:
    assert cut_off(rows(A, B), None, 0.05) == 0.05
    assert cut_off(rows(A, B), 3, 0.05) == 0.05
    assert cut_off(rows(A, B), 2, 0.05) == 0.5
    assert cut_off(rows([*A[:4], NAN, 1], B), 2, 0.05) == 0.05
