"""What the stage `dataset` is told."""

from dataclasses import dataclass
from typing import Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters, Size


@dataclass(frozen=True)
class SplitLocation:
    """Where the pictures and the annotations of a split lie inside the dataset's source."""

    pictures: str
    annotations: str


@dataclass(frozen=True)
class DrawnPictures:
    """How many pictures to draw for each split, and how large."""

    train: int
    val: int
    size: Size
    seed: int


@dataclass(frozen=True)
class DatasetParameters(Parameters):
    """``format`` is one of `FORMATS`, with ``train`` and ``val``, or `DRAWN`."""

    classes: Tuple[str, ...]
    format: str
    label_attribute: str
    default_class: Optional[str]
    train: Optional[SplitLocation]
    val: Optional[SplitLocation]
    drawn: Optional[DrawnPictures]
