"""``matches.npz``: what COCO's rule made of every detection, as `contract.matches` describes it."""

from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np
from pycocotools.cocoeval import COCOeval

from mmdet_jetson.contract.matches import IOU_THRESHOLDS, MATCHES

_BITS = (1 << np.arange(len(IOU_THRESHOLDS))).astype(np.uint16)[:, None]
_PER_DETECTION = {
    "picture": np.int32,
    "label": np.int32,
    "score": np.float32,
    "matched": np.uint16,
    "ignored": np.uint16,
}

_Judged = Mapping[str, np.ndarray]


def matches_of(evaluation: COCOeval) -> Dict[str, np.ndarray]:
    """Collect what COCOeval found in each picture of each class, at all sizes.

    ``evaluation`` has evaluated, with COCO's own thresholds; its first range of areas is all.
    """
    truth, parameters = evaluation.cocoGt, evaluation.params
    names = np.array([truth.imgs[each]["file_name"] for each in parameters.imgIds], dtype=str)
    order = np.argsort(names, kind="stable")
    place = np.empty(len(names), dtype=np.int32)
    place[order] = np.arange(len(names))
    per_class = [_images(evaluation, label) for label in range(len(parameters.catIds))]
    objects = np.array([[_objects(image) for image in images] for images in per_class])
    found = [_detections(images, place, label) for label, images in enumerate(per_class)]
    return {
        "pictures": names[order],
        "classes": np.array([truth.cats[each]["name"] for each in parameters.catIds], dtype=str),
        "objects": objects.T[order].astype(np.int32),
        **{
            name: np.concatenate([each[name] for each in found]).astype(kind)
            for name, kind in _PER_DETECTION.items()
        },
    }


def write_matches(folder: Path, matches: Mapping[str, np.ndarray]) -> None:
    """Write ``matches.npz``: the same bytes for the same matches."""
    with (folder / MATCHES).open("wb") as stream:
        np.savez_compressed(stream, **matches)  # type: ignore[arg-type]


def _images(evaluation: COCOeval, label: int) -> List[Optional[_Judged]]:
    """What was found of a class, picture by picture; None for one without anything.

    COCOeval lists class after class, in each all pictures of one range of areas after the other's.
    """
    pictures, ranges = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    start = label * ranges * pictures
    images: List[Optional[_Judged]] = evaluation.evalImgs[start : start + pictures]
    return images


def _objects(image: Optional[_Judged]) -> int:
    return 0 if image is None else int(np.sum(np.asarray(image["gtIgnore"]) == 0))


def _detections(
    images: Sequence[Optional[_Judged]], place: np.ndarray, label: int
) -> Dict[str, np.ndarray]:
    """The detections of a class, in the order in which COCOeval accumulates them."""
    found = [(index, image) for index, image in enumerate(images) if image is not None]
    scores = np.concatenate([np.zeros(0)] + [np.asarray(image["dtScores"]) for _, image in found])
    numbers = [np.full(len(image["dtScores"]), place[index]) for index, image in found]
    order = np.argsort(-scores, kind="mergesort")
    columns = {
        "picture": np.concatenate([np.zeros(0, dtype=int), *numbers]),
        "label": np.full(len(scores), label),
        "score": scores,
        "matched": _bits([image["dtMatches"] for _, image in found]),
        "ignored": _bits([image["dtIgnore"] for _, image in found]),
    }
    return {name: column[order] for name, column in columns.items()}


def _bits(thresholds: Sequence[np.ndarray]) -> np.ndarray:
    """One number a detection: bit i is set where row i, of the i-th threshold, is not 0."""
    empty = np.zeros((len(IOU_THRESHOLDS), 0), dtype=bool)
    flags = np.concatenate([empty, *(np.asarray(each) != 0 for each in thresholds)], axis=1)
    bits: np.ndarray = np.bitwise_or.reduce(flags * _BITS, axis=0)
    return bits
