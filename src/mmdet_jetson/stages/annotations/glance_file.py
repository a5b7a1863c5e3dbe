"""What ``glance.json`` of a `dataset` artifact holds.

A report is also made where no pictures can be read, so this imports nothing but the contract.
"""

from dataclasses import dataclass
from typing import Mapping, Tuple

from mmdet_jetson.contract.parameters.base import Size

FILE = "glance.json"
MOST_BOXES = 300
"""Boxes that are drawn of one picture."""


@dataclass(frozen=True)
class Histogram:
    """How many values are between two limits, by split; the last limit belongs to the last bin."""

    limits: Tuple[float, ...]
    counts: Mapping[str, Tuple[int, ...]]


@dataclass(frozen=True)
class Twin:
    """One of two pictures that look nearly the same; ``jpeg`` is in base64."""

    split: str
    name: str
    jpeg: str


@dataclass(frozen=True)
class Twins:
    """Two pictures that look nearly the same, and the bits of 64 in which their hashes differ."""

    first: Twin
    second: Twin
    distance: int


@dataclass(frozen=True)
class Duplicates:
    """How many pairs look nearly the same in both splits and within one, and some of them."""

    across: int
    within: int
    shown: Tuple[Twins, ...]


@dataclass(frozen=True)
class Box:
    """A box in pixels of the thumbnail: the index of its class, and x, y, width, height."""

    label: int
    box: Tuple[float, float, float, float]


@dataclass(frozen=True)
class Sample:
    """A picture, why it is shown, and its boxes; ``jpeg`` is a thumbnail in base64 of ``size``.

    ``objects`` are all that are annotated, of which the first are drawn.
    """

    split: str
    name: str
    why: str
    jpeg: str
    size: Size
    objects: int
    boxes: Tuple[Box, ...]


@dataclass(frozen=True)
class Glance:
    """``objects`` by split and class; ``centres`` are counts of boxes, rows from the top.

    ``padding`` is the share of the network's input that is padding, on average.
    """

    input_size: Size
    classes: Tuple[str, ...]
    pictures: Mapping[str, int]
    objects: Mapping[str, Mapping[str, int]]
    sides: Histogram
    aspects: Histogram
    padding: float
    centres: Tuple[Tuple[int, ...], ...]
    duplicates: Duplicates
    samples: Tuple[Sample, ...]
