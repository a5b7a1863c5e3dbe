"""Precision, recall and F1 over the score, and the thresholds that are worth deploying."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from mmdet_jetson.contract.analysis import OperatingPoint, ScoreCurve

DECIMALS = 7  # of a threshold: scores have 6 in predictions.json, so 7 lie between any two
MOST_POINTS = 200
"""Of a curve that is kept; the two points to deploy are found among all thresholds."""


@dataclass(frozen=True)
class _Cuts:
    """What is found down to each distinct score, the highest first.

    ``score`` is the lowest that is in, ``below`` the highest that is out, 0 behind the last.
    """

    score: np.ndarray
    below: np.ndarray
    right: np.ndarray
    found: np.ndarray
    objects: int

    def point(self, index: int) -> OperatingPoint:
        """Write out one of them."""
        right, found = int(self.right[index]), int(self.found[index])
        threshold = between(float(self.below[index]), float(self.score[index]))
        return operating_point(threshold, right, found, self.objects)

    def best_f1(self) -> Optional[OperatingPoint]:
        if not self.objects or not len(self.right) or not self.right[-1]:
            return None
        # As one division of integers: what is alike is then equal, and the first has it highest.
        return self.point(int(np.argmax(2 * self.right / (self.found + self.objects))))

    def wished(self, precision: Optional[float]) -> Optional[OperatingPoint]:
        if precision is None or not self.objects:
            return None
        reached = (self.right > 0) & (self.right >= precision * self.found)
        # 0.9 of 10 is a division as 9 of 10 is; a product may be off in its last digit.
        reached |= (self.right > 0) & (self.right / np.maximum(self.found, 1) >= precision)
        if not reached.any():
            return None
        return self.point(int(np.argmax(np.where(reached, self.right, -1))))

    def thinned(self, most: int) -> np.ndarray:
        """Choose the cuts nearest below evenly spaced scores, the first and the last."""
        if len(self.score) <= most:
            return np.arange(len(self.score))
        grid = np.linspace(self.score[-1], self.score[0], most)
        chosen: np.ndarray = np.unique(np.searchsorted(-self.score, -grid, side="left"))
        return chosen


def score_curve(
    score: np.ndarray,
    right: np.ndarray,
    wrong: np.ndarray,
    objects: int,
    wished: Optional[float] = None,
    *,
    most: int = MOST_POINTS,
) -> ScoreCurve:
    """Follow precision and recall over all thresholds.

    Args:
        score: of detections in any order, with 6 decimals: [D].
        right: bool [D].
        wrong: bool [D]; what is neither, as over a crowd, counts neither for nor against.
        objects: how many there are to find.
        wished: the least precision of ``ScoreCurve.wished``.
        most: how many points to keep.
    """
    cuts = _cuts(score, right, wrong, objects)
    return ScoreCurve(
        objects=objects,
        points=tuple(cuts.point(index) for index in cuts.thinned(most)[::-1].tolist()),
        best_f1=cuts.best_f1(),
        wished=cuts.wished(wished),
    )


def between(below: float, above: float) -> float:
    """Give a threshold between two scores: the shortest decimal in the middle half of the gap.

    So ``score >= threshold`` keeps the one and drops the other, also before they were rounded to
    the decimals of predictions.json, and has the most room for a device that rounds differently.
    """
    margin = (above - below) / 4
    middle = (above + below) / 2
    for decimals in range(1, DECIMALS + 1):
        shorter = round(middle, decimals)
        if below + margin <= shorter <= above - margin:
            return shorter
    return middle


def operating_point(threshold: float, right: int, found: int, objects: int) -> OperatingPoint:
    """Compute precision, recall and their harmonic mean from counts."""
    precision = right / found if found else None
    recall = right / objects if objects else None
    unknown = precision is None or recall is None
    f1 = None if unknown else 2 * right / (found + objects)
    return OperatingPoint(threshold, precision, recall, f1)


def _cuts(score: np.ndarray, right: np.ndarray, wrong: np.ndarray, objects: int) -> _Cuts:
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.flatnonzero(np.diff(ordered, append=-1.0) != 0)
    rights, wrongs = np.cumsum(right[order])[last], np.cumsum(wrong[order])[last]
    scores = ordered[last]
    return _Cuts(
        scores, np.append(scores[1:], 0.0)[: len(scores)], rights, rights + wrongs, objects
    )
