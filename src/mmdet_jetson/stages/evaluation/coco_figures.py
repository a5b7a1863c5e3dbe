"""The 12 COCO figures, the AP of each class and what they rest on, as pycocotools computes them."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.evaluation.matches import matches_of

# In the order of COCOeval.stats for boxes.
FIGURES = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)


@dataclass(frozen=True)
class Figures:
    """Box figures between 0 and 1; None where there is no object that the figure could judge.

    ``matches`` are the arrays that `contract.matches` describes.
    """

    figures: Dict[str, Optional[float]]
    per_class: Dict[str, Optional[float]]
    matches: Dict[str, np.ndarray]


def coco_figures(annotations: Path, predictions: List[Prediction]) -> Figures:
    """Judge ``predictions`` against the COCO file ``annotations``.

    ``predictions`` are in COCO's results format: ``image_id``, ``category_id``, ``score`` and
    ``bbox`` as [x, y, width, height] in pixels of the picture. At most the 100 best of a picture
    count, which is COCO's own rule. An empty list is allowed: every figure that can be judged
    is then 0.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, _results(truth, predictions), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return Figures(
        figures={name: _known(value) for name, value in zip(FIGURES, evaluation.stats)},
        per_class=_per_class(truth, evaluation),
        matches=matches_of(evaluation),
    )


def _results(truth: COCO, predictions: List[Prediction]) -> COCO:
    if predictions:
        # loadRes writes into the dictionaries it is given.
        return truth.loadRes([dict(prediction) for prediction in predictions])
    nothing = COCO()
    nothing.dataset = {**truth.dataset, "annotations": []}
    nothing.createIndex()
    return nothing


def _per_class(truth: COCO, evaluation: COCOeval) -> Dict[str, Optional[float]]:
    # precision: [IoU thresholds, recall levels, classes, areas (0 = all), detection limits]
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return {
        truth.cats[category]["name"]: _mean(precision[:, :, index])
        for index, category in enumerate(evaluation.params.catIds)
    }


def _mean(precision: np.ndarray) -> Optional[float]:
    judged = precision[precision > -1]
    return float(np.mean(judged)) if judged.size else None


def _known(value: float) -> Optional[float]:
    return None if value == -1 else float(value)
