"""Thresholds: precision, recall and F1 by hand, ties, and what a threshold selects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_jetson.contract.analysis import ScoreCurve
from mmdet_jetson.stages.evaluation.operating_points import between, score_curve

SCORES = st.integers(0, 10**6).map(lambda each: each / 10**6)
ROWS = st.lists(st.tuples(SCORES, st.sampled_from(["right", "wrong", "ignored"])), max_size=40)


def curve_of(
    rows: list[tuple[float, str]], objects: int, wished: float | None = None
) -> ScoreCurve:
    score = np.array([row[0] for row in rows], float)
    kinds = np.array([row[1] for row in rows], dtype=object)
    return score_curve(score, kinds == "right", kinds == "wrong", objects, wished)


def test_the_best_f1_by_hand() -> None:
    """Of 4 objects 2 are found: down to 0.8 F1 is 2/5, down to 0.6 it is 4/7, to the end 4/8."""
    rows = [(0.8, "right"), (0.7, "wrong"), (0.6, "right"), (0.2, "wrong")]
    curve = curve_of(rows, objects=4)
    assert [point.threshold for point in curve.points] == [0.1, 0.4, 0.65, 0.75]
    assert [point.f1 for point in curve.points] == [4 / 8, 4 / 7, 2 / 6, 2 / 5]
    best = curve.best_f1
    assert best is not None
    assert (best.threshold, best.precision, best.recall) == (0.4, 2 / 3, 1 / 2)


def test_of_thresholds_alike_the_highest_is_the_best() -> None:
    """F1 is 2/3 down to 0.9, and 4/6 down to 0.5."""
    rows = [(0.9, "right"), (0.8, "wrong"), (0.7, "wrong"), (0.5, "right")]
    best = curve_of(rows, objects=2).best_f1
    assert best is not None
    assert best.threshold == 0.85


def test_the_wished_precision_is_reached_with_the_highest_recall() -> None:
    rows = [(0.99, "wrong"), *[(0.9 - each / 100, "right") for each in range(9)], (0.5, "wrong")]
    curve = curve_of(rows, objects=20, wished=0.9)
    assert curve.wished is not None
    assert (curve.wished.precision, curve.wished.recall) == (0.9, 9 / 20)
    assert curve_of(rows, 20, wished=0.91).wished is None
    assert curve_of(rows, 20).wished is None


@pytest.mark.parametrize(
    ("rows", "objects"),
    [([], 3), ([(0.5, "right")], 0), ([(0.5, "wrong")], 3), ([(0.5, "ignored")], 3)],
    ids=["nothing-detected", "nothing-to-detect", "nothing-right", "crowds-only"],
)
def test_there_is_no_best_where_nothing_is_right(
    rows: list[tuple[float, str]], objects: int
) -> None:
    curve = curve_of(rows, objects, wished=0.5)
    assert curve.best_f1 is None
    assert curve.wished is None


def test_equal_scores_are_in_or_out_together() -> None:
    curve = curve_of([(0.5, "right"), (0.5, "wrong"), (0.5, "right")], objects=2)
    (point,) = curve.points
    assert (point.precision, point.recall) == (2 / 3, 1)
    assert curve.best_f1 == point


@given(ROWS, st.integers(1, 50), st.floats(0.01, 1))
def test_a_threshold_selects_what_its_figures_are_of(
    rows: list[tuple[float, str]], objects: int, wished: float
) -> None:
    curve = curve_of(rows, objects, wished)
    chosen = [each for each in (curve.best_f1, curve.wished) if each]
    for point in (*curve.points, *chosen):
        kept = [kind for score, kind in rows if score >= point.threshold]
        right, found = kept.count("right"), kept.count("right") + kept.count("wrong")
        assert point.precision == (right / found if found else None)
        assert point.recall == right / objects
    best = max((point.f1 or 0 for point in curve.points), default=0)
    assert (curve.best_f1.f1 if curve.best_f1 else 0) == best
    if curve.wished:
        assert curve.wished.precision is not None
        assert curve.wished.precision >= wished


@given(SCORES, SCORES)
def test_a_threshold_parts_scores_also_before_they_are_rounded(one: float, other: float) -> None:
    """An engine's scores are float32, and predictions.json has them with 6 decimals."""
    below, above = sorted((one, other))
    if below == above:
        return
    threshold = between(below, above)
    assert below < threshold <= above
    assert below + 4.9e-7 <= threshold <= above - 4.9e-7


def test_a_threshold_is_as_short_as_can_be() -> None:
    assert between(0.312345, 0.712345) == 0.5
    assert between(0.412, 0.413) == 0.4125
    assert between(0.123456, 0.123457) == 0.1234565


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    rows = [(each / 10000, "right") for each in range(1, 10000)]
    points = curve_of(rows, objects=9999).points
    assert 150 < len(points) <= 200
    assert points[0].recall == 1
    assert points[-1].recall == 1 / 9999
    thresholds = [point.threshold for point in points]
    assert thresholds == sorted(thresholds)
