"""AP over the size that objects have at the network's input.

The bands double from 8 pixels on, the finest stride of the usual detectors: an object below it is
smaller than one cell of the finest map, and each doubling is a level of the pyramid. COCO's own
three ranges (32 and 96 pixels) are of the picture as it was taken, which the network never sees.
"""

from typing import List, Optional, Sequence, Tuple

import numpy as np

from mmdet_jetson.contract.analysis import SizeBand
from mmdet_jetson.contract.matches import IOU_THRESHOLDS, RECALL_LEVELS
from mmdet_jetson.stages.evaluation.assignment import assign
from mmdet_jetson.stages.evaluation.average_precision import PER_PICTURE, precision_levels
from mmdet_jetson.stages.evaluation.overlaps import Overlaps
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

EDGES = (0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Sides in pixels; the last band has no end. As in COCO both ends belong to a range."""


def size_bands(overlaps: Overlaps, preprocessing: Preprocessing) -> Tuple[SizeBand, ...]:
    """Compute COCO's AP and AP50 of the objects of each band.

    As in COCO, what finds an object outside the band does not count there, nor does what finds
    nothing and has a size outside the band. An area is that of the box here, not of the mask.
    """
    scales = area_scales(overlaps, preprocessing)
    objects, detections = overlaps.objects, overlaps.detections
    truth = np.prod(objects.box[:, 2:], axis=1) * scales[objects.picture]
    found = np.prod(detections.box[:, 2:], axis=1) * scales[detections.picture]
    ranges = list(zip(EDGES, [*EDGES[1:], np.inf]))
    outside = [(truth < low**2) | (truth > high**2) for low, high in ranges]
    beyond = [(found < low**2) | (found > high**2) for low, high in ranges]
    ignored = np.array(outside).reshape(len(ranges), -1) | objects.crowd
    precision = _precision(overlaps, ignored, np.array(beyond).reshape(len(ranges), -1))
    return tuple(
        SizeBand(
            low=low,
            high=None if np.isinf(high) else high,
            objects=int(np.sum(~ignored[band])),
            ap=_mean(precision[band]),
            ap50=_mean(precision[band][:, :1]),
        )
        for band, (low, high) in enumerate(ranges)
    )


def area_scales(overlaps: Overlaps, preprocessing: Preprocessing) -> np.ndarray:
    """Say by how much the preprocessing changes the areas of each picture: [P]."""
    sizes = [(image["width"], image["height"]) for image in overlaps.images]
    inside = np.array([preprocessing.resized_size(*size) for size in sizes], float)
    scales: np.ndarray = np.prod(inside / np.array(sizes, float), axis=1)
    return scales


def _precision(overlaps: Overlaps, ignored: np.ndarray, beyond: np.ndarray) -> List[np.ndarray]:
    """Give the precision at each recall level: of each band [classes with objects, IoUs, levels].

    ``ignored`` [bands, G] are objects, ``beyond`` [bands, D] detections outside a band.
    """
    pairs, steps = overlaps.pairs, len(IOU_THRESHOLDS)
    seen = overlaps.detections.rank[pairs.detection] < PER_PICTURE
    pairs = pairs.only(overlaps.same_class(pairs) & seen)
    groups, ranked = overlaps.groups, by_score(overlaps)
    by_band: List[np.ndarray] = []
    for aside, off in zip(ignored, beyond):
        matched = assign(
            pairs,
            groups,
            np.array(IOU_THRESHOLDS),
            np.tile(aside, (steps, 1)),
            overlaps.objects.crowd,
        )
        skipped = np.append(aside, False)[matched] | ((matched < 0) & off)
        right, wrong = (matched >= 0) & ~skipped, (matched < 0) & ~skipped
        labels = overlaps.objects.label[~aside]
        objects = np.bincount(labels, minlength=len(overlaps.classes))
        by_band.append(_of_band(ranked, right, wrong, objects))
    return by_band


def _of_band(
    ranked: Sequence[np.ndarray], right: np.ndarray, wrong: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """``ranked`` are the detections of each class by score, ``objects`` how many it has."""
    rows = [
        [
            precision_levels(hit[order], miss[order], int(objects[label]))
            for hit, miss in zip(right, wrong)
        ]
        for label, order in enumerate(ranked)
        if objects[label]
    ]
    return np.array(rows).reshape(len(rows), len(right), RECALL_LEVELS)


def by_score(overlaps: Overlaps) -> Sequence[np.ndarray]:
    """Give the detections of each class that COCO looks at, in its order."""
    detections = overlaps.detections
    seen = np.flatnonzero(detections.rank < PER_PICTURE)
    order = seen[np.lexsort((-detections.score[seen], detections.label[seen]))]
    edges = np.searchsorted(detections.label[order], np.arange(1, len(overlaps.classes)))
    return np.split(order, edges)


def _mean(precision: np.ndarray) -> Optional[float]:
    return float(np.mean(precision)) if precision.size else None
