"""AP of pictures that were matched before, and whether one model is not worse than another.

Both are computed from ``matches.npz`` (`contract.matches`), by numpy alone.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matches:
    """The arrays of ``matches.npz``, as `contract.matches` describes them."""

    pictures: tuple[str, ...]
    classes: tuple[str, ...]
    objects: np.ndarray
    picture: np.ndarray
    label: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """AP of a model less ``ratio`` times AP of another: as measured, and its bounds.

    ``low`` and ``high`` are one-sided bounds, each with the confidence of the gate.
    """

    difference: float
    low: float
    high: float
    pictures: int


def read_matches(content: bytes) -> Matches:
    """Read ``matches.npz``.

    Raises:
        ValueError: it is damaged, or its arrays do not fit each other.
    """
    raise NotImplementedError


def average_precision(matches: Matches) -> float | None:
    """AP as COCO has it, at all sizes; None where there is no object."""
    raise NotImplementedError


def compare(model: Matches, other: Matches, ratio: float) -> Comparison | None:
    """Compare two models on the same pictures, paired.

    None where pictures or objects are too few, or do not belong together.
    """
    raise NotImplementedError
