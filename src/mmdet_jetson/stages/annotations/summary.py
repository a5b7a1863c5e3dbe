"""What is in a `dataset` artifact, counted."""

from dataclasses import dataclass
from typing import Mapping, Tuple


@dataclass(frozen=True)
class SplitSummary:
    """Pictures and annotated objects of a split, the latter by class too."""

    pictures: int
    annotations: int
    per_class: Mapping[str, int]


@dataclass(frozen=True)
class DatasetSummary:
    """``summary.json``: the splits by their names, and warnings as sentences."""

    classes: Tuple[str, ...]
    splits: Mapping[str, SplitSummary]
    warnings: Tuple[str, ...]
