"""What the stage `dataset` is told."""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.formats import REFUSE
from mmdet_jetson.contract.grouping import BY_NAMES
from mmdet_jetson.contract.parameters.base import Parameters, Size

KNOWN = "known"
"""The folder of its work folder where the stage notes what it found, for its next run."""


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
    """``format`` is one of `FORMATS`, with ``train`` and ``val``, or `DRAWN`.

    ``others`` is `REFUSE` or `IGNORE`; ``rename`` says which class a name of the file means.
    """

    classes: Tuple[str, ...]
    format: str
    label_attribute: str
    default_class: Optional[str]
    train: Optional[SplitLocation]
    val: Optional[SplitLocation]
    drawn: Optional[DrawnPictures]
    others: str = REFUSE
    rename: Mapping[str, str] = field(default_factory=dict)
    input_size: Size = (640, 640)
    """The network's, which remarks about sizes are made for."""
    split: Optional[float] = None
    """The share of ``train`` that becomes the validation split; then there is no ``val``."""
    split_seed: int = 0
    group: str = BY_NAMES
    """Which pictures stay together: `BY_NAMES`, `NO_GROUPS`, or as `contract.grouping` reads it."""
