"""Two lists of detections of one picture, matched one to one."""

from dataclasses import dataclass
from typing import Dict, Iterable, List

import numpy as np

from mmdet_jetson.stages.annotations.coco_file import Prediction

# How far the corners of two detections of one object may be apart, as a share of the picture's
# longer side. What the arithmetic of two runtimes makes of one box is a thousand times nearer.
NEAR = 0.01
# Below this score detections are noise, of which rounding picks others.
LEAST_SCORE = 0.01


@dataclass(frozen=True)
class Deviation:
    """How far the detections of a model are from a reference.

    ``matched`` pairs of the same class; ``box`` in pixels and ``score`` are the largest differences
    among them. ``missing`` are detections of the reference, and ``extra`` those of the model, that
    have no partner, both from `LEAST_SCORE` on.
    """

    matched: int = 0
    missing: int = 0
    extra: int = 0
    box: float = 0.0
    score: float = 0.0

    def __add__(self, other: "Deviation") -> "Deviation":
        """Give the deviation over the pictures of both."""
        return Deviation(
            self.matched + other.matched,
            self.missing + other.missing,
            self.extra + other.extra,
            max(self.box, other.box),
            max(self.score, other.score),
        )


def by_picture(predictions: Iterable[Prediction]) -> Dict[int, np.ndarray]:
    """Sort predictions in COCO's format by picture: [n, 6] of x1, y1, x2, y2, score, category."""
    rows: Dict[int, List[List[float]]] = {}
    for found in predictions:
        left, top, width, height = found["bbox"]
        box = [left, top, left + width, top + height]
        rows.setdefault(found["image_id"], []).append([*box, found["score"], found["category_id"]])
    return {picture: np.array(listed, np.float64) for picture, listed in rows.items()}


def deviation(reference: np.ndarray, found: np.ndarray, side: float) -> Deviation:
    """Match [n, 6] and [m, 6] (see `by_picture`); a picture's longer side has ``side`` pixels.

    The reference's best score chooses first, and takes the nearest of its class that is left. Who
    has a score from `LEAST_SCORE` on needs a partner, of whatever score.
    """
    partners = _partners(reference, found, side)
    pairs = [(row, partner) for row, partner in enumerate(partners) if partner >= 0]
    taken = {partner for _, partner in pairs}
    counted = [(a, b) for a, b in pairs if max(reference[a, 4], found[b, 4]) >= LEAST_SCORE]
    apart = np.array([np.abs(reference[a, :5] - found[b, :5]) for a, b in counted]).reshape(-1, 5)
    alone = [row for row, partner in enumerate(partners) if partner < 0]
    others = [row for row in range(len(found)) if row not in taken]
    return Deviation(
        matched=len(counted),
        missing=int(np.count_nonzero(reference[alone, 4] >= LEAST_SCORE)),
        extra=int(np.count_nonzero(found[others, 4] >= LEAST_SCORE)),
        box=float(apart[:, :4].max(initial=0)),
        score=float(apart[:, 4].max(initial=0)),
    )


def _partners(reference: np.ndarray, found: np.ndarray, side: float) -> List[int]:
    """Give the partner of each row of the reference, -1 where it has none."""
    partners = [-1] * len(reference)
    if not len(found):
        return partners
    corners = np.abs(reference[:, None, :4] - found[None, :, :4]).max(axis=2)
    scores = np.abs(reference[:, None, 4] - found[None, :, 4])
    is_other_class = reference[:, None, 5] != found[None, :, 5]
    # Of two equal boxes the one with the score is meant.
    apart = np.where(is_other_class | (corners > NEAR * side), np.inf, corners + scores)
    for row in np.argsort(-reference[:, 4], kind="stable"):
        partner = int(apart[row].argmin())
        if np.isfinite(apart[row, partner]):
            partners[row] = partner
            apart[:, partner] = np.inf
    return partners
