"""AP as COCO computes it, from what is right and wrong in the order of the scores."""

import numpy as np

from mmdet_jetson.contract.matches import RECALL_LEVELS

LEVELS = np.linspace(0.0, 1.0, RECALL_LEVELS)
"""COCO's recall levels, with its rounding."""
PER_PICTURE = 100
"""COCO looks at so many of the best detections of each picture and class."""
_EPSILON = np.spacing(1)


def precision_levels(
    right: np.ndarray, wrong: np.ndarray, objects: int, levels: np.ndarray = LEVELS
) -> np.ndarray:
    """Give the best precision at each recall level or beyond: [levels], as COCOeval has it.

    ``right`` and ``wrong`` are bool [D], by score, the highest first; what is neither is ignored.
    ``objects`` is how many there are to find, more than 0. Precision is largest where something
    right was just found, so only these places are looked at.
    """
    places = np.flatnonzero(right)
    found = np.arange(1, len(places) + 1)
    alarms = np.cumsum(wrong)[places]
    precision = found / (alarms + found + _EPSILON)
    ahead = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    levelled: np.ndarray = ahead[np.searchsorted(found / objects, levels, side="left")]
    return levelled


def found_at(objects: int) -> np.ndarray:
    """Say how many of ``objects`` have to be found to reach each of `LEVELS`, at least 1."""
    reached = np.arange(1, objects + 1) / objects
    return np.searchsorted(reached, LEVELS, side="left") + 1
