"""Two lists of detections of one picture, matched one to one.

A list is [n, 6]: the corners x1, y1, x2, y2 in pixels, the score and the class. What is not a
number is near to nothing, so it never has a partner.
"""

import math
from typing import Optional

import numpy as np

# How far the corners of two detections of one object may be apart, as a share of the picture's
# longer side. What the arithmetic of two runtimes makes of one box is a thousand times nearer.
NEAR = 0.05


def partners(
    reference: np.ndarray,
    found: np.ndarray,
    side: float,
    box: float = NEAR,
    score: float = math.inf,
) -> np.ndarray:
    """Give for each row of the reference the row of ``found`` that is its partner, -1 for none.

    The reference's best score chooses first, and takes the nearest that is left of its class, with
    corners within ``box``, as a share of the picture's longer ``side`` in pixels, and a score
    within ``score``.
    """
    chosen = np.full(len(reference), -1)
    if not len(found):
        return chosen
    corners = np.abs(reference[:, None, :4] - found[None, :, :4]).max(axis=2)
    scores = np.abs(reference[:, None, 4] - found[None, :, 4])
    is_same_class = reference[:, None, 5] == found[None, :, 5]
    may_be = is_same_class & (corners <= box * side) & (scores <= score)
    # Of two equal boxes the one with the score is meant.
    apart = np.where(may_be, corners + scores, np.inf)
    for row in np.argsort(-reference[:, 4], kind="stable"):
        partner = int(apart[row].argmin())
        if np.isfinite(apart[row, partner]):
            chosen[row] = partner
            apart[:, partner] = np.inf
    return chosen


def cut_off(found: np.ndarray, keep: Optional[int], threshold: float) -> float:
    """Give the score below which a list may lack what was detected.

    A graph drops what is below its ``threshold``, and has ``keep`` rows (None: any number): a list
    that fills them may lack what is fainter than its faintest. Rounding decides what is just at it.
    """
    if keep is None or len(found) < max(keep, 1):
        return threshold
    return max(threshold, float(found[:, 4].min()))
