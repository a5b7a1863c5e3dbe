"""Errors by type: hand-made cases, and what tidecv 1.0.1 says of sets that a seed draws."""

from pathlib import Path

import pytest
from small_splits import Found, Object, drawn_split, overlaps_by_hand, write_split

from mmdet_jetson.contract.analysis import ERROR_TYPES
from mmdet_jetson.stages.evaluation.error_types import error_split
from mmdet_jetson.stages.evaluation.overlaps import overlaps_of

BOX = (100.0, 100.0, 100.0, 100.0)
NEAR = (150.0, 100.0, 100.0, 100.0)  # IoU 1/3
FAR = (195.0, 100.0, 100.0, 100.0)  # IoU 0.026
OBJECT: Object = (1, 1, BOX)


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        ([(1, 1, BOX, 0.9)], {}),
        ([], {"missed": 1}),
        ([(1, 2, BOX, 0.9)], {"class": 1}),
        ([(1, 1, NEAR, 0.9)], {"localisation": 1}),
        ([(1, 2, NEAR, 0.9)], {"both": 1, "missed": 1}),
        ([(1, 1, BOX, 0.9), (1, 1, BOX, 0.8)], {"duplicate": 1}),
        ([(1, 1, FAR, 0.9)], {"background": 1, "missed": 1}),
        ([(1, 1, NEAR, 0.9), (1, 2, BOX, 0.8)], {"localisation": 1, "class": 1}),
    ],
)
def test_each_error_has_its_type(
    found: list[Found], counts: dict[str, int], tmp_path: Path
) -> None:
    split = error_split(overlaps_by_hand(tmp_path, [OBJECT], found))
    assert split is not None
    assert {kind: number for kind, number in split.counts.items() if number} == counts


def test_mending_the_only_error_gives_all_of_ap50(tmp_path: Path) -> None:
    split = error_split(overlaps_by_hand(tmp_path, [OBJECT], [(1, 2, BOX, 0.9)]))
    assert split is not None
    assert split.ap50 == 0
    assert split.ap50_lost["class"] == pytest.approx(1)
    assert split.false_alarms == 0


def test_of_two_that_would_mend_one_object_the_better_does(tmp_path: Path) -> None:
    found: list[Found] = [(1, 1, NEAR, 0.9), (1, 2, BOX, 0.8)]
    split = error_split(overlaps_by_hand(tmp_path, [OBJECT], found))
    assert split is not None
    assert split.ap50_lost["localisation"] == pytest.approx(1)
    assert split.ap50_lost["class"] == 0


def test_a_class_without_objects_is_not_in_the_mean(tmp_path: Path) -> None:
    found: list[Found] = [(1, 1, BOX, 0.9), (1, 2, FAR, 0.8)]
    split = error_split(overlaps_by_hand(tmp_path, [OBJECT], found))
    assert split is not None
    assert split.ap50 == pytest.approx(1)


def test_what_lies_in_a_crowd_is_no_error(tmp_path: Path) -> None:
    crowd: Object = (1, -1, (300, 300, 200, 100))
    found: list[Found] = [(1, 1, BOX, 0.9), (1, 1, (310, 310, 20, 20), 0.95)]
    split = error_split(overlaps_by_hand(tmp_path, [OBJECT, crowd], found))
    assert split is not None
    assert split.ap50 == pytest.approx(1)
    assert not any(split.counts.values())


def test_there_is_no_split_without_objects(tmp_path: Path) -> None:
    assert error_split(overlaps_by_hand(tmp_path, [], [(1, 1, BOX, 0.9)])) is None


# By tidecv 1.0.1 (`TIDE().evaluate(..., mode=TIDE.BOX)`), in points of 100: AP50, the dAP of each
# type in the order of ERROR_TYPES, FalsePos, FalseNeg. Each class of these sets has objects.
TIDE = {
    "few": (
        {"seed": 7},
        (20.684525, 3.316638, 12.598692, 0.760317, 0.895485, 13.728255, 4.398295),
        (42.681811, 9.459886),
    ),
    "more than 100 a picture": (
        {"seed": 8, "most_objects": 30, "most_found": 180, "pictures": 6},
        (24.231113, 2.702188, 20.823058, 0.790642, 2.324379, 2.977373, 3.942495),
        (41.115422, 11.090507),
    ),
    "ties": (
        {"seed": 9, "decimals": 1},
        (19.621241, 6.204513, 10.441712, 0, 0, 3.217966, 3.463669),
        (33.514072, 12.095872),
    ),
}


@pytest.mark.parametrize("name", TIDE)
def test_the_split_is_tidecvs(name: str, tmp_path: Path) -> None:
    drawn, (ap50, *lost), special = TIDE[name]
    content, predictions = drawn_split(**drawn)
    split = error_split(overlaps_of(write_split(tmp_path, content), predictions))
    assert split is not None
    assert 100 * split.ap50 == pytest.approx(ap50, abs=1e-5)
    ours = [100 * split.ap50_lost[kind] for kind in ERROR_TYPES]
    assert ours == pytest.approx(lost, abs=1e-5)
    both = (100 * split.false_alarms, 100 * split.misses)
    assert both == pytest.approx(special, abs=1e-5)
