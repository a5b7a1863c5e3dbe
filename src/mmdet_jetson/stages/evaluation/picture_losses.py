"""How much AP50 each picture costs: what it would be if that picture alone were perfect.

Perfect is: every object of the picture is found before anything else in the ranking, and nothing
else is detected on it. The loss is exact, not a first-order estimate; losses of several pictures do
not add up. Only the places where something right is found matter to AP, so a class costs an array
of pictures x objects, not of pictures x detections.
"""

from typing import Iterator, Tuple

import numpy as np

from mmdet_jetson.stages.evaluation.average_precision import found_at, precision_levels
from mmdet_jetson.stages.evaluation.overlaps import Overlaps
from mmdet_jetson.stages.evaluation.size_bands import by_score

_CELLS = 1 << 17
"""How many numbers an array may have at a time: 1 MB, which stays in a processor's cache."""


def picture_losses(overlaps: Overlaps, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Give what each picture costs of AP50, between 0 and 1: [P].

    ``right`` and ``wrong`` [D] are COCO's at an IoU of 0.5.
    """
    pictures, objects = len(overlaps.images), overlaps.to_find()
    losses = np.zeros(pictures)
    truth, label = overlaps.objects, overlaps.objects.label
    for each, order in enumerate(by_score(overlaps)):
        if not objects[each]:
            continue
        own = truth.picture[(label == each) & ~truth.crowd]
        to_find = np.bincount(own, minlength=pictures)
        where = overlaps.detections.picture[order]
        losses += _of_class(where, right[order], wrong[order], to_find)
    judged = np.count_nonzero(objects)
    return losses / judged if judged else losses


def _of_class(
    picture: np.ndarray, right: np.ndarray, wrong: np.ndarray, to_find: np.ndarray
) -> np.ndarray:
    """What each picture costs of one class; the detections are by score."""
    objects = int(to_find.sum())
    now = precision_levels(right, wrong, objects).mean()
    alarms = np.bincount(picture[wrong], minlength=len(to_find))
    touched = np.flatnonzero((to_find > 0) | (alarms > 0))
    losses = np.zeros(len(to_find))
    levels = found_at(objects) - 1
    for rows, precision in _perfected(picture, right, wrong, to_find, touched):
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        losses[rows] = best[:, levels].mean(axis=1) - now
    return np.maximum(losses, 0.0)


def _perfected(
    picture: np.ndarray,
    right: np.ndarray,
    wrong: np.ndarray,
    to_find: np.ndarray,
    touched: np.ndarray,
) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Give pictures, and the precision where each object of the class is found, were they perfect.

    The precision is [pictures, objects], 0 behind the last that is found.
    """
    objects = int(to_find.sum())
    places = np.flatnonzero(right)
    owner, before = picture[places], np.cumsum(wrong)[places]
    step = max(1, _CELLS // max(objects, 1))
    for start in range(0, len(touched), step):
        rows = touched[start : start + step]
        mine = owner[None] == rows[:, None]
        found = np.arange(1, len(places) + 1) - np.cumsum(mine, axis=1) + to_find[rows, None]
        others = before[None] - _alarms_before(picture, wrong, places, rows)
        # A column more, for what gives way to the objects that come first.
        precision = np.zeros((len(rows), objects + 1))
        column = np.where(mine, objects, found - 1)
        np.put_along_axis(precision, column, found / np.maximum(found + others, 1), axis=1)
        precision[np.arange(objects + 1)[None] < to_find[rows, None]] = 1.0
        yield rows, precision[:, :-1]


def _alarms_before(
    picture: np.ndarray, wrong: np.ndarray, places: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Count the false alarms of each picture before each place: [rows, places]."""
    counts = np.zeros((len(rows), len(places) + 1), int)
    alarms = np.flatnonzero(wrong)
    which = np.searchsorted(rows, picture[alarms])
    which[which == len(rows)] = 0
    ours = rows[which] == picture[alarms]
    column = np.searchsorted(places, alarms[ours])
    np.add.at(counts, (which[ours], column), 1)
    before: np.ndarray = np.cumsum(counts[:, :-1], axis=1)
    return before
