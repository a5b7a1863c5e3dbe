"""Errors by type, as TIDE splits them, with the AP50 that each type costs.

TIDE is Bolya and others, "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV
2020, arXiv:2008.08115; what its paper leaves open is as in its program (tidecv 1.0.1): each picture
has its 100 best detections, of all classes together; a wrong detection is of the first type that
fits; of several that would mend one object the best does; and a detection over a crowd can mend.
One thing differs: the mean is over the classes that have objects, as in COCO's AP. In tidecv a
class without any objects counts with an AP of 0 as soon as something is detected as it.
"""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np

from mmdet_jetson.contract.analysis import ERROR_TYPES, IOU, ErrorSplit
from mmdet_jetson.stages.evaluation.assignment import assign
from mmdet_jetson.stages.evaluation.average_precision import precision_levels
from mmdet_jetson.stages.evaluation.overlaps import LEAST_OVERLAP, Overlaps, Pairs

CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = ERROR_TYPES
PER_PICTURE = 100
LEVELS = np.arange(101) / 100
"""TIDE's recall levels, with its rounding; COCO's differ in the last digit of some."""


@dataclass(frozen=True)
class _Judged:
    """Of the detections that TIDE looks at: ``kind`` is an index of ERROR_TYPES, -1 for right ones.

    ``mends`` is the object that a class or localisation error would find if it were mended, -1
    where it would find none; ``ignored`` ones lie in a crowd.
    """

    kind: np.ndarray
    mends: np.ndarray
    ignored: np.ndarray


def error_split(overlaps: Overlaps) -> Optional[ErrorSplit]:
    """Split the errors of all detections; None where there is no object."""
    if not overlaps.to_find().any():
        return None
    matched, found, judged = _looked_at(overlaps)
    usable = found | overlaps.objects.crowd
    missed = ~usable
    missed[judged.mends[judged.mends >= 0]] = False
    curve = _Curve(overlaps, matched >= 0, judged)
    before = curve.ap()
    mended = {kind: curve.mended(kind, missed) for kind in ERROR_TYPES}
    return ErrorSplit(
        ap50=before,
        ap50_lost={kind: max(after - before, 0.0) for kind, after in mended.items()},
        counts=_counts(judged, overlaps, missed),
        false_alarms=curve.without_false_alarms() - before,
        misses=curve.without_misses(~usable) - before,
    )


def types_of_detections(overlaps: Overlaps) -> np.ndarray:
    """Give each detection its type of error as an index of `ERROR_TYPES`, -1 where none: [D].

    Those behind the best of their picture, which TIDE does not judge, have none either.
    """
    _, _, judged = _looked_at(overlaps)
    return judged.kind


def _looked_at(overlaps: Overlaps) -> Tuple[np.ndarray, np.ndarray, _Judged]:
    """Give the object of each detection, -1 for none [D], which are found [G], and the errors."""
    pairs = _seen(overlaps)
    matched = _matched(overlaps, pairs)
    found = np.zeros(len(overlaps.objects.label), bool)
    found[matched[matched >= 0]] = True
    return matched, found, _judged(overlaps, pairs, matched, found)


def _seen(overlaps: Overlaps) -> Pairs:
    """The pairs of the best detections of a picture, each detection's objects backwards.

    Of two objects that overlap alike TIDE takes the first, and `assign` the last.
    """
    pairs = overlaps.pairs
    order = np.lexsort((-pairs.object, pairs.detection))
    kept = order[overlaps.detections.place[pairs.detection[order]] < PER_PICTURE]
    return pairs.only(kept)


def _matched(overlaps: Overlaps, pairs: Pairs) -> np.ndarray:
    objects = overlaps.objects
    matched: np.ndarray = assign(
        pairs.only(overlaps.same_class(pairs) & ~objects.crowd[pairs.object]),
        overlaps.groups,
        np.array([IOU]),
        np.zeros((1, len(objects.label)), bool),
        objects.crowd,
    )[0]
    return matched


def _judged(overlaps: Overlaps, pairs: Pairs, matched: np.ndarray, found: np.ndarray) -> _Judged:
    """Ask TIDE's questions in its order."""
    same, number = overlaps.same_class(pairs), len(matched)
    crowd = overlaps.objects.crowd[pairs.object]
    own, own_object = _largest(pairs.only(same & ~crowd), number)
    other, other_object = _largest(pairs.only(~same & ~crowd), number)
    taken, _ = _largest(pairs.only(same & ~crowd & found[pairs.object]), number)
    crowded, _ = _largest(pairs.only(same & crowd), number)
    is_wrong = (matched < 0) & (overlaps.detections.place < PER_PICTURE)
    questions = {
        LOCALISATION: (own >= LEAST_OVERLAP) & (own <= IOU),
        CLASS: other >= IOU,
        DUPLICATE: taken >= IOU,
        BACKGROUND: np.maximum(own, other) <= LEAST_OVERLAP,
        BOTH: np.ones(number, bool),
    }
    answers = [ERROR_TYPES.index(kind) for kind in questions]
    kind = np.where(is_wrong, np.select(list(questions.values()), answers), -1)
    aim = np.where(kind == ERROR_TYPES.index(LOCALISATION), own_object, -1)
    aim = np.where(kind == ERROR_TYPES.index(CLASS), other_object, aim)
    return _Judged(kind, _first_of_each(aim, found), is_wrong & (crowded > IOU))


def _largest(pairs: Pairs, detections: int) -> Tuple[np.ndarray, np.ndarray]:
    """Give each detection's largest IoU, and the first object that has it; 0 and -1 for none."""
    largest, which = np.zeros(detections), np.full(detections, -1)
    # The last that is written stays: the largest, and of these the first object.
    order = np.lexsort((-pairs.object, pairs.iou))
    largest[pairs.detection[order]] = pairs.iou[order]
    which[pairs.detection[order]] = pairs.object[order]
    return largest, which


def _first_of_each(aim: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Leave an object that was not found to the best detection that aims at it."""
    aiming = np.flatnonzero(aim >= 0)
    aiming = aiming[~found[aim[aiming]]]
    _, first = np.unique(aim[aiming], return_index=True)
    mends = np.full(len(aim), -1)
    mends[aiming[first]] = aim[aiming[first]]
    return mends


def _counts(judged: _Judged, overlaps: Overlaps, missed: np.ndarray) -> Dict[str, int]:
    counted = judged.kind[(judged.kind >= 0) & ~judged.ignored]
    counts = np.bincount(counted, minlength=len(ERROR_TYPES))
    counts[ERROR_TYPES.index(MISSED)] = np.sum(missed)
    return dict(zip(ERROR_TYPES, counts.tolist()))


@dataclass(frozen=True)
class _Curve:
    """AP50 of the detections with some of their errors mended."""

    overlaps: Overlaps
    right: np.ndarray
    judged: _Judged

    @property
    def counts(self) -> np.ndarray:
        """Which detections count, before anything is mended."""
        shown: np.ndarray = (self.right | (self.judged.kind >= 0)) & ~self.judged.ignored
        return shown

    def ap(self) -> float:
        """Nothing mended."""
        return self._mean(self.counts, self.right, order=np.zeros(len(self.right), int))

    def mended(self, kind: str, missed: np.ndarray) -> float:
        """Mend the errors of a type: what finds an object is right then, all others go."""
        if kind == MISSED:
            return self._mean(self.counts, self.right, without=missed)
        these = self.judged.kind == ERROR_TYPES.index(kind)
        mends = these & (self.judged.mends >= 0)
        label = self.overlaps.detections.label.copy()
        label[mends] = self.overlaps.objects.label[self.judged.mends[mends]]
        return self._mean((self.counts & ~these) | mends, self.right | mends, label=label)

    def without_false_alarms(self) -> float:
        """TIDE's special error: all that is wrong behind all that is right."""
        return self._mean(self.counts, self.right, score=np.where(self.right, 1.0, 0.0))

    def without_misses(self, lost: np.ndarray) -> float:
        """TIDE's special error: objects that were not found do not count."""
        return self._mean(self.counts, self.right, without=lost)

    def _mean(
        self,
        counts: np.ndarray,
        right: np.ndarray,
        *,
        label: Optional[np.ndarray] = None,
        score: Optional[np.ndarray] = None,
        without: Optional[np.ndarray] = None,
        order: Optional[np.ndarray] = None,
    ) -> float:
        """AP50 over the classes with objects; one with nothing left in it is not judged."""
        detections, objects = self.overlaps.detections, self.overlaps.objects
        label = detections.label if label is None else label
        score = detections.score if score is None else score
        # Where scores are equal, TIDE has the errors first once it has mended some.
        order = self.right.astype(int) if order is None else order
        there = ~objects.crowd if without is None else ~objects.crowd & ~without
        left = np.bincount(objects.label[there], minlength=len(self.overlaps.classes))
        ranked = np.lexsort((order, -score))
        ranked = ranked[counts[ranked]]
        values = []
        for each in np.flatnonzero(self.overlaps.to_find()).tolist():
            hits = right[ranked[label[ranked] == each]]
            if left[each]:
                values.append(precision_levels(hits, ~hits, int(left[each]), LEVELS).mean())
            elif len(hits):
                values.append(0.0)
        return float(np.mean(values)) if values else 0.0
