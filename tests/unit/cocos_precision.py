"""What pycocotools makes of a split and detections, for tests of our own counting."""

import contextlib
import io
import json
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_jetson.stages.annotations.coco_file import CocoFile, Prediction
from mmdet_jetson.stages.evaluation.size_bands import EDGES


def cocos_precision(
    content: CocoFile, predictions: Sequence[Prediction], scales: np.ndarray | None = None
) -> np.ndarray:
    """COCOeval's [IoUs, levels, classes, areas]; with ``scales``, of box areas at the input."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(content))
        truth.createIndex()
        found = truth.loadRes([dict(each) for each in predictions])
        evaluation = COCOeval(truth, found, "bbox")
        if scales is not None:
            for each in (*truth.dataset["annotations"], *found.dataset["annotations"]):
                each["area"] = each["bbox"][2] * each["bbox"][3] * scales[each["image_id"] - 1]
            ends = [*EDGES[1:], 1e9]
            evaluation.params.areaRng = [
                [low**2, high**2] for low, high in zip(EDGES, ends, strict=True)
            ]
            evaluation.params.areaRngLbl = [str(low) for low in EDGES]
        evaluation.evaluate()
        evaluation.accumulate()
    precision: np.ndarray = evaluation.eval["precision"][..., -1]
    return precision
