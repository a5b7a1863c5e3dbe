"""Precision over recall of one class at one IoU, and how AP hangs on each picture."""

from dataclasses import dataclass

import numpy as np

from mmdet_jetson.contract.matches import RECALL_LEVELS

LEVELS = np.linspace(0, 1, RECALL_LEVELS)


@dataclass(frozen=True)
class Curve:
    """Detections that count, the best first: their pictures, and which of them found an object.

    ``objects`` is the number of objects in each picture; there is one at least.
    """

    picture: np.ndarray
    correct: np.ndarray
    objects: np.ndarray

    def average(self) -> float:
        """AP as COCO has it: the mean, over 101 recall levels, of the best precision from there."""
        if not len(self.correct):
            return 0.0
        found, _, best = self._precision()
        first = np.searchsorted(found / self.objects.sum(), LEVELS, side="left")
        return float(best[first[first < len(found)]].sum() / RECALL_LEVELS)

    def influences(self) -> np.ndarray:
        """How fast AP grows with the weight of each picture; they add up to 0.

        The derivative of the area under the interpolated curve by the weights of the pictures,
        where all are 1: a picture of weight 2 stands for two like it. Which precision is the best
        from a recall on is taken as it is.
        """
        total = self.objects.sum()
        if not len(self.correct):
            return np.zeros(len(self.objects))
        found, precision, best = self._precision()
        # Objects found are each worth the best precision from there on, which is that of one
        # detection below: the share of the area that rests on each detection's precision.
        ends = np.flatnonzero(precision == best)
        of_end = ends[np.searchsorted(ends, np.arange(len(found)))]
        rests = np.bincount(of_end, self.correct, len(found)) / total
        rests = rests / np.arange(1, len(found) + 1)
        gain = np.cumsum(rests[::-1])[::-1]
        cost = np.cumsum((rests * precision)[::-1])[::-1]
        of_detection = self.correct * (best / total + gain) - cost
        area = float((self.correct * best).sum() / total)
        of_picture: np.ndarray = np.bincount(self.picture, of_detection, len(self.objects))
        influences: np.ndarray = of_picture - area * self.objects / total
        return influences

    def _precision(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """At each detection: the objects found, the precision, and the best from there on."""
        found = np.cumsum(self.correct)
        precision = found / (np.arange(1, len(found) + 1) + np.spacing(1))
        return found, precision, np.maximum.accumulate(precision[::-1])[::-1]
