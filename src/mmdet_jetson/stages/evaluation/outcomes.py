"""What becomes of each detection and of each object at one threshold, and the confusion matrix.

Which detections are right is COCO's answer: within a class, the best score first. A wrong one that
covers an object of another class, which no right one has found, is of a wrong class; among
several, the best score has the object, and of several objects the one that it overlaps most. All
other wrong ones are false alarms. FiftyOne (``classwise=False``) and Ultralytics' ConfusionMatrix
match regardless of class in one pass, by score and by IoU; there a right detection loses its object
to a better one of a wrong class, and the diagonal is not what precision and recall count. Here it
is: right ones first, then the rest regardless of class.
"""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from mmdet_jetson.contract.analysis import IOU
from mmdet_jetson.stages.evaluation.assignment import assign
from mmdet_jetson.stages.evaluation.overlaps import Overlaps

IGNORED, RIGHT, WRONG_CLASS, FALSE_ALARM = -1, 0, 1, 2
"""Of a detection; `IGNORED` is also one below the threshold."""
FOUND, CONFUSED, MISSED = 0, 1, 2
"""Of an object; a crowd is `IGNORED`."""


@dataclass(frozen=True)
class Outcomes:
    """By index: ``detection`` [D] and ``object`` [G] are of the constants above.

    ``met`` is the object that a right detection found or one of a wrong class covers, else -1: [D].
    """

    detection: np.ndarray
    object: np.ndarray
    met: np.ndarray


def outcomes_at(
    overlaps: Overlaps, matched: np.ndarray, wrong: np.ndarray, threshold: float
) -> Outcomes:
    """Judge what is detected from ``threshold`` on.

    ``matched`` [D] is the object that COCO's rule gives each detection, -1 for none; ``wrong`` [D]
    is whether it counts as a false positive.
    """
    detections, objects = overlaps.detections, overlaps.objects
    shown = detections.score >= threshold
    met = np.where(shown, matched, -1)
    right = (met >= 0) & ~np.append(objects.crowd, True)[met]
    met[~right] = -1
    state = np.where(objects.crowd, IGNORED, MISSED)
    state[met[right]] = FOUND
    covering = _covering(overlaps, shown & wrong, state == MISSED)
    confused = covering >= 0
    state[covering[confused]] = CONFUSED
    kind = np.full(len(met), IGNORED)
    kind[shown & wrong] = FALSE_ALARM
    kind[right], kind[confused] = RIGHT, WRONG_CLASS
    return Outcomes(kind, state, np.where(confused, covering, met))


def _covering(overlaps: Overlaps, wrong: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Give each wrong detection the missed object of another class that it covers, or -1."""
    pairs = overlaps.pairs
    open_ = wrong[pairs.detection] & missed[pairs.object] & ~overlaps.same_class(pairs)
    covering: np.ndarray = assign(
        pairs.only(open_),
        overlaps.detections.picture,
        np.array([IOU]),
        np.zeros((1, len(missed)), bool),
        overlaps.objects.crowd,
    )[0]
    return covering


def confusion_of(overlaps: Overlaps, outcomes: Outcomes) -> Tuple[Tuple[int, ...], ...]:
    """Count objects by their class and by what they were detected as; background comes last.

    Each row but the last sums up to the objects of its class, each column but the last to the
    detections of its class that count.
    """
    background = len(overlaps.classes)
    truth, counted = overlaps.objects.label, outcomes.detection != IGNORED
    missed = truth[outcomes.object == MISSED]
    real = np.append(truth, background)[outcomes.met]  # -1 is the last
    matrix = np.zeros((background + 1, background + 1), int)
    np.add.at(matrix, (real[counted], overlaps.detections.label[counted]), 1)
    np.add.at(matrix, (missed, np.full(len(missed), background)), 1)
    return tuple(tuple(row) for row in matrix.tolist())
