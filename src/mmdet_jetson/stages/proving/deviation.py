"""How far the detections of a model are from a reference's, picture by picture."""

from dataclasses import dataclass, replace
from typing import Dict, Iterable, List, Tuple

import numpy as np

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.inference.graph import PostProcessing
from mmdet_jetson.stages.inference.matching import cut_off, partners


@dataclass(frozen=True)
class Deviation:
    """How the detections of a model pair up with those of a reference.

    ``matched`` are pairs within the tolerances, ``off`` are pairs of one class and place beyond
    them. ``missing`` are detections of the reference, and ``extra`` those of the model, that have
    no partner. ``box``, as a share of the picture's longer side, and ``score`` are the largest
    differences in pairs of either kind.
    """

    matched: int = 0
    off: int = 0
    missing: int = 0
    extra: int = 0
    box: float = 0.0
    score: float = 0.0

    def __add__(self, other: "Deviation") -> "Deviation":
        """Give the deviation over the pictures of both."""
        return Deviation(
            self.matched + other.matched,
            self.off + other.off,
            self.missing + other.missing,
            self.extra + other.extra,
            max(self.box, other.box),
            max(self.score, other.score),
        )

    @property
    def alone(self) -> float:
        """The share of detections without a partner within the tolerances, from 0 to 1.

        It is the reference's or the model's, whichever is larger; 1 where nothing matches.
        """
        if not self.matched:
            return 1.0
        without = self.off + max(self.missing, self.extra)
        return without / (self.matched + without)


def by_picture(predictions: Iterable[Prediction]) -> Dict[int, np.ndarray]:
    """Sort predictions in COCO's format by picture: [n, 6] of x1, y1, x2, y2, score, category."""
    rows: Dict[int, List[List[float]]] = {}
    for found in predictions:
        left, top, width, height = found["bbox"]
        box = [left, top, left + width, top + height]
        rows.setdefault(found["image_id"], []).append([*box, found["score"], found["category_id"]])
    return {picture: np.array(listed, np.float64) for picture, listed in rows.items()}


def deviation(
    reference: np.ndarray,
    found: np.ndarray,
    side: float,
    tolerances: Tolerances,
    limits: PostProcessing,
) -> Deviation:
    """Pair [n, 6] with [m, 6] (see `by_picture`); a picture's longer side has ``side`` pixels.

    Who has a score from ``from_score`` on needs a partner, of whatever score, unless the ``limits``
    of the model's post-processing may have cut that off: see `cut_off`. On a picture where nobody
    has such a score the best one stands for all.
    """
    scores = np.concatenate([reference[:, 4], found[:, 4]])
    best = np.where(np.isnan(scores), 0, scores).max(initial=0)
    tolerances = replace(tolerances, from_score=min(tolerances.from_score, float(best)))
    chosen, is_within = _paired(reference, found, side, tolerances)
    pairs = np.flatnonzero(chosen >= 0)
    better = np.maximum(reference[pairs, 4], found[chosen[pairs], 4])
    counted = pairs[better >= tolerances.from_score]
    apart = np.abs(reference[counted, :5] - found[chosen[counted], :5])
    others = np.setdiff1d(np.arange(len(found)), chosen)
    return Deviation(
        matched=int(np.count_nonzero(is_within[counted])),
        off=int(np.count_nonzero(~is_within[counted])),
        missing=_needing(reference[chosen < 0], found, tolerances, limits),
        extra=_needing(found[others], reference, tolerances, limits),
        box=float(apart[:, :4].max(initial=0) / side),
        score=float(apart[:, 4].max(initial=0)),
    )


def _paired(
    reference: np.ndarray, found: np.ndarray, side: float, tolerances: Tolerances
) -> Tuple[np.ndarray, np.ndarray]:
    """Give the partner of each row of the reference, and whether it is within the tolerances.

    What has no partner within them takes the nearest of those that are left, to tell what moved
    from what is missing.
    """
    chosen = partners(reference, found, side, tolerances.box, tolerances.score)
    is_within = chosen >= 0
    left, free = np.flatnonzero(~is_within), np.setdiff1d(np.arange(len(found)), chosen)
    second = partners(reference[left], found[free], side)
    chosen[left[second >= 0]] = free[second[second >= 0]]
    return chosen, is_within


def _needing(
    alone: np.ndarray, others: np.ndarray, tolerances: Tolerances, limits: PostProcessing
) -> int:
    """Count rows without a partner whose score says that ``others`` should have one for them."""
    least, cut = tolerances.from_score, cut_off(others, limits.keep, limits.score_threshold)
    if cut > 0:
        least = max(least, cut + tolerances.score)
    return int(np.count_nonzero(~(alone[:, 4] < least)))  # a score that is not a number counts
