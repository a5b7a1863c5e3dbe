"""The confusion matrix and what becomes of detections, in cases made by hand."""

from pathlib import Path

import pytest
from small_splits import Found, Object, drawn_split, overlaps_by_hand, write_split

from mmdet_jetson.stages.evaluation.analysis import count, picture_results
from mmdet_jetson.stages.evaluation.outcomes import confusion_of, outcomes_at
from mmdet_jetson.stages.evaluation.overlaps import Overlaps, overlaps_of

BOX = (100.0, 100.0, 100.0, 100.0)
CLOSE = (110.0, 100.0, 100.0, 100.0)  # IoU 0.82
AWAY = (400.0, 300.0, 50.0, 50.0)
ONE: Object = (1, 1, BOX)


def matrix(overlaps: Overlaps, threshold: float = 0.5) -> list[list[int]]:
    counted = count(overlaps)
    outcomes = outcomes_at(overlaps, counted.matched, counted.wrong, threshold)
    return [list(row) for row in confusion_of(overlaps, outcomes)]


@pytest.mark.parametrize(
    ("objects", "found", "expected"),
    [
        pytest.param([ONE], [(1, 1, CLOSE, 0.9)], [[1, 0, 0], [0, 0, 0], [0, 0, 0]], id="right"),
        pytest.param([ONE], [(1, 2, CLOSE, 0.9)], [[0, 1, 0], [0, 0, 0], [0, 0, 0]], id="confused"),
        pytest.param([ONE], [(1, 1, AWAY, 0.9)], [[0, 0, 1], [0, 0, 0], [1, 0, 0]], id="nowhere"),
        pytest.param([ONE], [(1, 1, BOX, 0.4)], [[0, 0, 1], [0, 0, 0], [0, 0, 0]], id="below"),
        pytest.param(
            [ONE],
            [(1, 2, BOX, 0.9), (1, 1, CLOSE, 0.8)],
            [[1, 0, 0], [0, 0, 0], [0, 1, 0]],
            id="the-right-one-keeps-its-object",
        ),
        pytest.param(
            [ONE],
            [(1, 2, CLOSE, 0.9), (1, 2, BOX, 0.8)],
            [[0, 1, 0], [0, 0, 0], [0, 1, 0]],
            id="an-object-is-confused-once",
        ),
        pytest.param(
            [ONE, (1, -2, (400, 300, 100, 100))],
            [(1, 2, AWAY, 0.9)],
            [[0, 0, 1], [0, 0, 0], [0, 0, 0]],
            id="in-a-crowd",
        ),
        pytest.param(
            [ONE, (1, -1, (400, 300, 100, 100))],
            [(1, 2, AWAY, 0.9)],
            [[0, 0, 1], [0, 0, 0], [0, 1, 0]],
            id="in-a-crowd-of-another-class",
        ),
        pytest.param([], [(1, 2, BOX, 0.9)], [[0, 0, 0], [0, 0, 0], [0, 1, 0]], id="no-objects"),
        pytest.param([], [], [[0, 0, 0]] * 3, id="nothing-at-all"),
    ],
)
def test_the_matrix(
    objects: list[Object], found: list[Found], expected: list[list[int]], tmp_path: Path
) -> None:
    assert matrix(overlaps_by_hand(tmp_path, objects, found)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_its_sums_are_what_pictures_and_curves_count(seed: int, tmp_path: Path) -> None:
    content, predictions = drawn_split(seed)
    overlaps = overlaps_of(write_split(tmp_path, content), predictions)
    counted = count(overlaps)
    outcomes = outcomes_at(overlaps, counted.matched, counted.wrong, 0.4)
    confusion = confusion_of(overlaps, outcomes)
    assert [sum(row) for row in confusion[:-1]] == overlaps.to_find().tolist()
    shown = overlaps.detections.score >= 0.4
    assert sum(confusion[each][each] for each in range(3)) == (counted.right & shown).sum()
    assert sum(sum(row[:-1]) for row in confusion) == (
        ((counted.right | counted.wrong) & shown).sum()
    )
    results = picture_results(overlaps, counted, outcomes)
    for result in results:
        assert result.objects == result.right + result.misses + result.wrong_class
    assert sum(result.false_alarms for result in results) == sum(confusion[-1])
    assert sum(result.misses for result in results) == sum(row[-1] for row in confusion)
