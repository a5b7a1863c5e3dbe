"""Ground truth and detections of all pictures as arrays, and how far they overlap."""

from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np
from pycocotools import mask

from mmdet_jetson.stages.annotations.coco_file import CocoImage, Prediction, read_split

LEAST_OVERLAP = 0.1
"""The IoU from which on a pair is kept: no question asks for less (TIDE's background ends here)."""


@dataclass(frozen=True)
class Objects:
    """The ground truth, by picture and in each in the order of the file: ``box`` is x, y, w, h."""

    picture: np.ndarray
    label: np.ndarray
    box: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class Detections:
    """By picture and in each by score, the highest first, equal ones as they were detected.

    ``rank`` counts the better ones of the same picture and class, ``place`` those of all classes.
    """

    picture: np.ndarray
    label: np.ndarray
    box: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Indices of detections and objects of one picture that overlap, by detection, then object.

    ``iou`` is COCO's; with a crowd, it is the part of the detection that lies inside.
    """

    detection: np.ndarray
    object: np.ndarray
    iou: np.ndarray

    def only(self, kept: np.ndarray) -> "Pairs":
        """Give some of them, in the same order."""
        return Pairs(self.detection[kept], self.object[kept], self.iou[kept])


@dataclass(frozen=True)
class Overlaps:
    """All that an analysis counts with. ``images`` are in COCO's order, by id."""

    images: Tuple[CocoImage, ...]
    classes: Tuple[str, ...]
    objects: Objects
    detections: Detections
    pairs: Pairs

    @property
    def groups(self) -> np.ndarray:
        """Number each detection by its picture and class: [D]."""
        numbers: np.ndarray = self.detections.picture * len(self.classes) + self.detections.label
        return numbers

    def same_class(self, pairs: Pairs) -> np.ndarray:
        """Which of the pairs are of one class."""
        same: np.ndarray = (
            self.detections.label[pairs.detection] == self.objects.label[pairs.object]
        )
        return same

    def to_find(self) -> np.ndarray:
        """Count the objects of each class, without crowds: [classes]."""
        return np.bincount(self.objects.label[~self.objects.crowd], minlength=len(self.classes))


def overlaps_of(annotations: Path, predictions: Sequence[Prediction]) -> Overlaps:
    """Read the COCO file ``annotations`` and compare it with detections of its pictures."""
    content = read_split(annotations)
    images = tuple(sorted(content["images"], key=lambda image: image["id"]))
    categories = sorted(content["categories"], key=lambda category: category["id"])
    places = {image["id"]: place for place, image in enumerate(images)}
    labels = {category["id"]: label for label, category in enumerate(categories)}
    truth = content["annotations"]
    objects = _objects(
        [places[each["image_id"]] for each in truth],
        [labels[each["category_id"]] for each in truth],
        [each["bbox"] for each in truth],
        [bool(each.get("iscrowd", 0)) for each in truth],
    )
    detections = _detections(
        [places[each["image_id"]] for each in predictions],
        [labels[each["category_id"]] for each in predictions],
        [each["bbox"] for each in predictions],
        [each["score"] for each in predictions],
    )
    names = tuple(category["name"] for category in categories)
    return Overlaps(images, names, objects, detections, _pairs(len(images), objects, detections))


def _objects(
    picture: List[int], label: List[int], box: List[List[float]], crowd: List[bool]
) -> Objects:
    pictures = np.array(picture, int)
    order = np.argsort(pictures, kind="stable")
    return Objects(
        pictures[order],
        np.array(label, int)[order],
        np.array(box, float).reshape(-1, 4)[order],
        np.array(crowd, bool)[order],
    )


def _detections(
    picture: List[int], label: List[int], box: List[List[float]], score: List[float]
) -> Detections:
    pictures, labels, scores = np.array(picture, int), np.array(label, int), np.array(score, float)
    order = np.lexsort((-scores, pictures))
    pictures, labels = pictures[order], labels[order]
    return Detections(
        pictures,
        labels,
        np.array(box, float).reshape(-1, 4)[order],
        scores[order],
        rank=ordinal(pictures, labels),
        place=ordinal(pictures),
    )


def ordinal(*keys: np.ndarray) -> np.ndarray:
    """Count for each row how many before it have the same keys."""
    order = np.lexsort(keys)
    starts = np.zeros(len(order), bool)
    starts[:1] = True
    for key in keys:
        starts[1:] |= np.diff(key[order]) != 0
    numbers = np.arange(len(order))
    counted = np.empty(len(order), int)
    counted[order] = numbers - np.maximum.accumulate(np.where(starts, numbers, 0))
    return counted


def _pairs(pictures: int, objects: Objects, detections: Detections) -> Pairs:
    edges = np.arange(pictures + 1)
    first, start = (np.searchsorted(each.picture, edges) for each in (detections, objects))
    found: List[Tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for picture in np.flatnonzero((np.diff(first) > 0) & (np.diff(start) > 0)):
        these = slice(first[picture], first[picture + 1])
        those = slice(start[picture], start[picture + 1])
        iou = mask.iou(
            detections.box[these], objects.box[those], objects.crowd[those].astype(np.uint8)
        )
        rows, columns = np.nonzero(iou >= LEAST_OVERLAP)
        found.append((rows + first[picture], columns + start[picture], iou[rows, columns]))
    nothing = (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    detection, object_, iou = (np.concatenate(column) for column in zip(nothing, *found))
    return Pairs(detection, object_, iou)
