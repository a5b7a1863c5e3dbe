"""How sure a set of pictures makes us of AP50: a bootstrap over pictures."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.gates.measured import Interval

RESAMPLES = 200
# Below this a resample repeats so few pictures that the interval is far too narrow.
FEWEST_PICTURES = 10


@dataclass(frozen=True)
class _Matches:
    """The detections of one class, best first, and its objects.

    ``picture`` and ``correct`` have one entry a detection (the index of its picture, and whether
    it found an object); ``objects`` has the number of objects in each picture.
    """

    picture: np.ndarray
    correct: np.ndarray
    objects: np.ndarray


def draw_pictures(pictures: int) -> np.ndarray:
    """Draw as many pictures as there are, with replacement, `RESAMPLES` times: [resamples, n].

    The seed is fixed, so the draws are always the same.
    """
    return np.random.default_rng(0).integers(0, pictures, size=(RESAMPLES, pictures))


def ap50_interval(
    annotations: Path,
    predictions: List[Prediction],
    draw: Callable[[int], np.ndarray] = draw_pictures,
) -> Optional[Interval]:
    """Resample the pictures with replacement; return AP50 and its 2.5% and 97.5% percentiles.

    ``annotations`` is the COCO file, ``predictions`` are in COCO's results format. COCOeval
    matches the pictures once; in a resample each of them counts as often as ``draw`` drew it. None
    where pictures or predictions are too few to resample.
    """
    if not predictions:
        return None
    evaluation = _evaluate(annotations, predictions)
    pictures = len(evaluation.params.imgIds)
    if pictures < FEWEST_PICTURES:
        return None
    # With one range of areas COCOeval lists all pictures of a class, class after class.
    starts = range(0, len(evaluation.evalImgs), pictures)
    classes = [_collect(evaluation.evalImgs[start : start + pictures]) for start in starts]
    levels = evaluation.params.recThrs
    counts = [np.bincount(drawn, minlength=pictures) for drawn in draw(pictures)]
    values = [_ap50(classes, each, levels) for each in counts]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    point = _ap50(classes, np.ones(pictures, dtype=int), levels)
    return Interval(point=point, low=float(low), high=float(high))


def _evaluate(annotations: Path, predictions: List[Prediction]) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        # loadRes writes into the dictionaries it is given.
        results = truth.loadRes([dict(prediction) for prediction in predictions])
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.maxDets = evaluation.params.maxDets[-1:]
        evaluation.evaluate()
    return evaluation


def _collect(images: Sequence[Optional[Mapping[str, np.ndarray]]]) -> _Matches:
    """Join what COCOeval found in each picture; None is a picture without anything."""
    objects = np.array([0 if i is None else np.sum(i["gtIgnore"] == 0) for i in images])
    found = [(index, image) for index, image in enumerate(images) if image is not None]
    empty = [np.zeros(0)]
    scores = np.concatenate(empty + [np.asarray(image["dtScores"]) for _, image in found])
    correct = np.concatenate(empty + [image["dtMatches"][0] > 0 for _, image in found]) > 0
    ignored = np.concatenate(empty + [image["dtIgnore"][0] for _, image in found]) > 0
    picture = np.repeat(
        np.array([index for index, _ in found], dtype=int),
        [len(image["dtScores"]) for _, image in found],
    )
    order = np.argsort(-scores, kind="stable")
    order = order[~ignored[order]]
    return _Matches(picture[order], correct[order], objects)


def _ap50(classes: Sequence[_Matches], counts: np.ndarray, levels: np.ndarray) -> float:
    """AP50 where picture i counts ``counts[i]`` times; NaN where that leaves no object.

    The mean over classes of the precision at COCO's 101 recall levels, as COCOeval interpolates
    it. A picture that counts twice acts as two pictures: both copies of a detection come one
    after the other, which leaves the highest precision at each recall as it is.
    """
    judged = [_average_precision(each, counts, levels) for each in classes]
    known = [value for value in judged if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _average_precision(
    matches: _Matches, counts: np.ndarray, levels: np.ndarray
) -> Optional[float]:
    objects = int(np.sum(matches.objects * counts))
    if objects == 0:
        return None
    weights = counts[matches.picture]
    correct = np.cumsum(weights * matches.correct)
    precision = correct / np.maximum(np.cumsum(weights), 1)
    reachable = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(correct / objects, levels, side="left")
    return float(np.sum(reachable[first[first < len(reachable)]]) / len(levels))
