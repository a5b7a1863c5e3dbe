import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from mmdet_jetson.stages.annotations.grouping import Group
from mmdet_jetson.stages.annotations.splitting import check_fraction, choose_validation
from mmdet_jetson.stages.errors import StageError

CLASSES = ("car", "bus", "bike", "tram")
SEEDS = 200


def drawn(seed: int, count: int = 60) -> tuple[list[Group], list[frozenset[str]]]:
    """Groups of one to eight pictures, whose classes are of very different frequency."""
    random = Random(seed)
    groups: list[Group] = []
    shown: list[frozenset[str]] = []
    for number in range(count):
        size = random.choice((1, 1, 2, 3, 8))
        members = tuple(range(len(shown), len(shown) + size))
        own = frozenset(
            c for c, p in zip(CLASSES, (0.9, 0.4, 0.2, 0.1), strict=True) if random.random() < p
        )
        shown += [own] * size
        groups.append(Group(f"g{number}", "alone", members))
    return groups, shown


def alone(*classes: str) -> tuple[list[Group], list[frozenset[str]]]:
    groups = [Group(f"p{number:03d}", "alone", (number,)) for number in range(len(classes))]
    return groups, [frozenset({each} if each else ()) for each in classes]


def test_groups_never_part_and_shares_are_reached_over_many_seeds() -> None:
    reached, parted, missing = [], 0, 0
    for seed in range(SEEDS):
        groups, shown = drawn(seed)
        chosen = choose_validation(groups, shown, 0.2, seed)
        inside = {member for index in chosen for member in groups[index].members}
        parted += sum(0 < len(inside & {*each.members}) < len(each.members) for each in groups)
        reached.append(len(inside) / len(shown))
        per_class = Counter(label for member in inside for label in shown[member])
        missing += sum(not per_class[name] for name in CLASSES)
    assert parted == 0
    assert missing <= SEEDS * len(CLASSES) * 0.02
    assert abs(sum(reached) / SEEDS - 0.2) < 0.02
    assert max(abs(each - 0.2) for each in reached) < 0.08


def test_classes_are_stratified_far_better_than_by_chance() -> None:
    ours: list[float] = []
    chance: list[float] = []
    for seed in range(50):
        groups, shown = drawn(seed, 150)
        totals = Counter(label for each in shown for label in each)
        picked = choose_validation(groups, shown, 0.2, seed)
        blind = Random(seed).sample(range(len(groups)), len(groups) // 5)
        for chosen, errors in ((picked, ours), (blind, chance)):
            inside = [shown[m] for index in chosen for m in groups[index].members]
            counts = Counter(label for each in inside for label in each)
            errors += [abs(counts[name] / totals[name] - 0.2) for name in totals]
    assert sum(ours) < 0.35 * sum(chance)


def test_single_pictures_of_one_class_are_split_exactly() -> None:
    groups, shown = alone(*["car"] * 50)
    assert len(choose_validation(groups, shown, 0.2, 0)) == 10


def test_a_class_of_two_pictures_is_in_both_splits() -> None:
    groups, shown = alone(*["car"] * 40, "tram", "tram")
    for seed in range(20):
        chosen = choose_validation(groups, shown, 0.2, seed)
        assert sum(shown[index] == {"tram"} for index in chosen) == 1


def test_pictures_without_objects_are_shared_out() -> None:
    groups, shown = alone(*["car"] * 40, *[""] * 20)
    chosen = choose_validation(groups, shown, 0.25, 3)
    assert sum(not shown[index] for index in chosen) == 5


def test_seeds_give_different_splits() -> None:
    groups, shown = alone(*["car"] * 50)
    assert len({frozenset(choose_validation(groups, shown, 0.2, seed)) for seed in range(20)}) == 20


def test_order_of_pictures_and_groups_does_not_matter() -> None:
    for seed in range(SEEDS):
        groups, shown = drawn(seed)
        keys = {groups[index].key for index in choose_validation(groups, shown, 0.2, seed)}
        mixed = Random(seed).sample(groups, len(groups))
        again = choose_validation(mixed, shown, 0.2, seed)
        assert {mixed[index].key for index in again} == keys


def test_an_added_picture_moves_few_others() -> None:
    moved = []
    for seed in range(50):
        groups, shown = alone(
            *Random(seed).choices(["car", "bus", "bike", ""], (6, 3, 1, 1), k=200)
        )
        before = choose_validation(groups, shown, 0.2, seed)
        added = [*groups, Group("new", "alone", (200,))]
        after = choose_validation(added, [*shown, frozenset({"bus"})], 0.2, seed)
        moved.append(len((before ^ after) - {200}))
    assert max(moved) <= 4
    assert sum(moved) / len(moved) < 1.5


def test_two_large_groups_are_split_as_well_as_can_be() -> None:
    groups = [Group("a", "x", tuple(range(50))), Group("b", "x", tuple(range(50, 90)))]
    assert choose_validation(groups, [frozenset({"car"})] * 90, 0.2, 0) == {1}


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.95, 0.99])
def test_both_splits_have_something(fraction: float) -> None:
    for shown in ([frozenset({"car"})] * 2, [frozenset[str]()] * 2):
        groups = [Group("a", "alone", (0,)), Group("b", "alone", (1,))]
        assert len(choose_validation(groups, shown, fraction, 0)) == 1


def test_one_group_is_refused() -> None:
    with pytest.raises(StageError, match=r"all pictures belong to one group \(frame_\*: frames"):
        choose_validation([Group("frame_*", "frames frame_*", (0, 1))], [frozenset()] * 2, 0.5, 0)


@pytest.mark.parametrize(("fraction", "empty"), [(0.01, "val"), (0.99, "train")])
def test_a_share_that_leaves_a_split_empty_is_refused(fraction: float, empty: str) -> None:
    with pytest.raises(StageError, match=f"of 10 pictures leaves the {empty} split empty"):
        check_fraction(10, fraction)
    check_fraction(10, 0.05)


CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_splitting import drawn
from mmdet_jetson.stages.annotations.splitting import choose_validation
print(json.dumps([sorted(choose_validation(*drawn(s), 0.2, s)) for s in range(20)]))
"""


def test_another_process_with_other_hashes_gives_the_same_split() -> None:
    here = [sorted(choose_validation(*drawn(seed), 0.2, seed)) for seed in range(20)]
    for hashes in ("1", "77"):
        ran = subprocess.run(
            [sys.executable, "-c", CODE, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(ran.stdout) == here


def test_split_is_the_one_of_every_machine() -> None:
    groups, shown = alone(*["car"] * 12, *["bus"] * 8)
    chosen = choose_validation(groups, shown, 0.25, 7)
    assert sorted(chosen) == KNOWN


KNOWN = [2, 5, 9, 14, 19]
