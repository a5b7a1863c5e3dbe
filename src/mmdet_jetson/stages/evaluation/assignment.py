"""Which detection gets which object: COCO's greedy rule, for all pictures and thresholds at once.

In COCOeval it is a loop over pictures, classes, ranges of areas, thresholds and detections. Here
the first detections of all pictures and classes choose together, then the second ones, and so on:
none of a round is after an object that another of the same round could take.
"""

from typing import Iterator

import numpy as np

from mmdet_jetson.stages.evaluation.overlaps import Pairs, ordinal


def assign(
    pairs: Pairs,
    group: np.ndarray,
    thresholds: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
) -> np.ndarray:
    """Give each detection, the best first, the object that it overlaps most of those left.

    An object that is not ignored comes before one that is, and of two that overlap alike the
    later of the pairs. Crowds are never used up.

    Args:
        pairs: what may be matched; the detections of a group stand by score in them.
        group: of each detection [D], and no two groups share an object.
        thresholds: the least IoU of each variant: [V].
        ignored: objects of each variant that count neither for nor against: bool [V, G].
        crowd: bool [G].

    Returns:
        The index of each detection's object, -1 for none: [V, D].
    """
    # COCOeval's, so that boxes alike meet at a threshold of 1 in spite of rounding.
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    matched = np.full((len(thresholds), len(group)), -1)
    taken = np.zeros(ignored.shape, bool)
    for each in _rounds(pairs.only(pairs.iou >= least.min(initial=1)), group):
        starts = np.flatnonzero(np.diff(each.detection, prepend=-1))
        left = (each.iou >= least) & (~taken[:, each.object] | crowd[each.object])
        aside = ignored[:, each.object]
        best = _best(each.iou, left & ~aside, starts)
        best = np.where(best < 0, _best(each.iou, left & aside, starts), best)
        chosen = np.where(best < 0, -1, each.object[best])
        matched[:, each.detection[starts]] = chosen
        variant, which = np.nonzero(best >= 0)
        taken[variant, chosen[variant, which]] = True
    return matched


def _rounds(pairs: Pairs, group: np.ndarray) -> Iterator[Pairs]:
    """Split pairs into those of the first detection of every group, of the second, ..."""
    if not len(pairs.iou):
        return
    choosing, place = np.unique(pairs.detection, return_inverse=True)
    turn = ordinal(group[choosing])[place.reshape(-1)]
    order = np.argsort(turn, kind="stable")
    ends = np.cumsum(np.bincount(turn))
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist()):
        yield pairs.only(order[start:end])


def _best(iou: np.ndarray, left: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Find the last of the largest IoUs that are left, in each segment: [V, segments], or -1."""
    values = np.where(left, iou, -1.0)
    largest = np.maximum.reduceat(values, starts, axis=1)
    lengths = np.diff(starts, append=len(iou))
    is_largest = left & (values == np.repeat(largest, lengths, axis=1))
    numbers = np.where(is_largest, np.arange(len(iou)), -1)
    last: np.ndarray = np.maximum.reduceat(numbers, starts, axis=1)
    return last
