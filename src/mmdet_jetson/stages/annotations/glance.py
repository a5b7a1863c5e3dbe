"""A dataset at a glance: figures and sample pictures in which a wrong label file is seen at once.

Whatever the dataset's size, they take under two megabytes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, List, Mapping, Sequence, Set, Tuple

import numpy as np

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.annotations.boxes import Boxes
from mmdet_jetson.stages.annotations.glance_file import (
    Duplicates,
    Glance,
    Histogram,
    Twin,
    Twins,
)
from mmdet_jetson.stages.annotations.near_duplicates import Pair
from mmdet_jetson.stages.annotations.records import Example
from mmdet_jetson.stages.annotations.remarks import padding_of, per_class
from mmdet_jetson.stages.annotations.samples import choose_samples, thumbnail

CELLS = 16
"""Cells each way of the map of box centres."""
SIDES = (0, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
"""Limits of the histogram of box sides, in pixels of the network's input."""
ASPECTS = (0, 0.5, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2, 1000)
"""Limits of the histogram of width by height of pictures."""
_PAIRS = 6
_PAIR_SIDE = 220


@dataclass(frozen=True)
class Looked:
    """All pictures in a row, which split each is in, and the pairs that look nearly the same."""

    examples: Sequence[Example]
    splits: Sequence[str]
    pairs: Sequence[Pair]

    @cached_property
    def boxes(self) -> Boxes:
        """Those of the pictures."""
        return Boxes(self.examples)

    def of(self, split: str) -> List[Example]:
        """The pictures of a split."""
        return [each for each, name in zip(self.examples, self.splits) if name == split]

    @property
    def names(self) -> List[str]:
        """The splits that there are, training first: their colours follow from that."""
        return sorted(set(self.splits))


def glance_at(looked: Looked, classes: Sequence[str], input_size: Size) -> Glance:
    """Look at a dataset; the same one gives the same."""
    by_split = {name: looked.of(name) for name in looked.names}
    boxes, places = looked.boxes, np.array(looked.splits)
    sides, owners = boxes.sides(input_size), places[boxes.pictures]
    aspects = boxes.sizes[:, 0] / boxes.sizes[:, 1]
    return Glance(
        input_size=input_size,
        classes=tuple(classes),
        pictures={name: len(made) for name, made in by_split.items()},
        objects={name: per_class(made, classes) for name, made in by_split.items()},
        sides=_histogram(SIDES, {name: sides[owners == name] for name in by_split}),
        aspects=_histogram(ASPECTS, {name: aspects[places == name] for name in by_split}),
        padding=round(float(padding_of(boxes.sizes, input_size).mean()), 4),
        centres=_centres(boxes),
        duplicates=_duplicates(looked),
        samples=choose_samples([*zip(looked.splits, looked.examples)], boxes, classes, input_size),
    )


def _histogram(limits: Sequence[float], values: Mapping[str, np.ndarray]) -> Histogram:
    counts: Dict[str, Tuple[int, ...]] = {}
    for name, listed in values.items():
        inside = np.clip(listed, limits[0], limits[-1])
        counts[name] = tuple(int(each) for each in np.histogram(inside, limits)[0])
    return Histogram(tuple(float(each) for each in limits), counts)


def _centres(boxes: Boxes) -> Tuple[Tuple[int, ...], ...]:
    centres = (boxes.boxes[:, :2] + boxes.boxes[:, 2:] / 2) / boxes.sizes[boxes.pictures]
    columns, rows = np.minimum((centres * CELLS).astype(int), CELLS - 1).T
    grid = np.zeros((CELLS, CELLS), int)
    np.add.at(grid, (rows, columns), 1)
    return tuple(tuple(int(count) for count in row) for row in grid)


def _duplicates(looked: Looked) -> Duplicates:
    across = [pair for pair in looked.pairs if not _in_one(pair, looked)]
    within = [pair for pair in looked.pairs if _in_one(pair, looked)]
    shown = tuple(_twins(pair, looked) for pair in _different([*across, *within]))
    return Duplicates(len(across), len(within), shown)


def _different(pairs: Sequence[Pair]) -> List[Pair]:
    """A few pairs that show each picture once: not six frames of one video."""
    chosen: List[Pair] = []
    seen: Set[int] = set()
    for pair in pairs:
        if len(chosen) < _PAIRS and not seen & {pair.first, pair.second}:
            chosen.append(pair)
            seen |= {pair.first, pair.second}
    return chosen


def _in_one(pair: Pair, looked: Looked) -> bool:
    return looked.splits[pair.first] == looked.splits[pair.second]


def _twins(pair: Pair, looked: Looked) -> Twins:
    first, second = (_twin(index, looked) for index in (pair.first, pair.second))
    return Twins(first, second, pair.distance)


def _twin(index: int, looked: Looked) -> Twin:
    example = looked.examples[index]
    jpeg, _ = thumbnail(example, _PAIR_SIDE)
    return Twin(looked.splits[index], example.name, jpeg)
