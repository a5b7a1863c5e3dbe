"""``analysis.json`` of an evaluation, and the drawings beside it: see `contract.analysis`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mmdet_jetson.contract.analysis import (
    ANALYSIS,
    IOU,
    Analysis,
    PictureResult,
    ScoreCurve,
)
from mmdet_jetson.contract.records import write_record
from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.evaluation.assignment import assign
from mmdet_jetson.stages.evaluation.average_precision import precision_levels
from mmdet_jetson.stages.evaluation.error_types import error_split
from mmdet_jetson.stages.evaluation.evaluation import Described, Validation, predictions_of
from mmdet_jetson.stages.evaluation.operating_points import score_curve
from mmdet_jetson.stages.evaluation.outcomes import (
    FALSE_ALARM,
    MISSED,
    RIGHT,
    WRONG_CLASS,
    Outcomes,
    confusion_of,
    outcomes_at,
)
from mmdet_jetson.stages.evaluation.overlaps import Overlaps, overlaps_of
from mmdet_jetson.stages.evaluation.picture_losses import picture_losses
from mmdet_jetson.stages.evaluation.size_bands import by_score, size_bands
from mmdet_jetson.stages.evaluation.worst_pictures import draw_worst
from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.plain_numbers import number

POINTS_OF_A_CLASS = 100


@dataclass(frozen=True)
class Wish:
    """What the threshold to deploy is chosen by.

    ``precision`` is the least that it shall have, None for the best F1. Where there is no threshold
    to deploy, pictures are judged at ``otherwise``.
    """

    precision: Optional[float]
    otherwise: float


@dataclass(frozen=True)
class Counted:
    """Which detections are right and wrong at an IoU of 0.5, by COCO's rule: [D] each.

    ``matched`` is the object of each, a crowd's too, -1 for none. No limit on detections a picture
    is in it: what infer.py finds has none.
    """

    matched: np.ndarray
    right: np.ndarray
    wrong: np.ndarray


def analyse(
    folder: Path,
    validation: Validation,
    found: Mapping[int, Sequence[Detection]],
    described: Described,
    wish: Wish,
) -> List[str]:
    """Write the analysis of an evaluation into its folder; give warnings about the threshold."""
    predictions = predictions_of(found)
    analysis = write_analysis(folder, validation, predictions, described.preprocessing, wish)
    return unmet(analysis)


def unmet(analysis: Analysis) -> List[str]:
    """Say where no threshold has the precision that is wished for."""
    wished, deploy = analysis.wished_precision, analysis.deploy
    if wished is None or analysis.together.wished is not None or deploy is None:
        return []
    return [
        f"no threshold has a precision of {wished:g}, as [evaluate] precision asks for: the one to "
        f"deploy, {deploy.threshold!r}, has the best F1, with a precision of "
        f"{number(deploy.precision)} and a recall of {number(deploy.recall)}"
    ]


def write_analysis(
    folder: Path,
    validation: Validation,
    predictions: Sequence[Prediction],
    preprocessing: Preprocessing,
    wish: Wish,
) -> Analysis:
    """Analyse detections of the validation pictures; write it, and draw the worst pictures."""
    overlaps = overlaps_of(validation.annotations, predictions)
    counted = count(overlaps)
    curves = curves_of(overlaps, counted, wish.precision)
    together = _curve(overlaps, counted, None, wish.precision)
    deploy = together.deploy
    threshold = wish.otherwise if deploy is None else deploy.threshold
    outcomes = outcomes_at(overlaps, counted.matched, counted.wrong, threshold)
    pictures = picture_results(overlaps, counted, outcomes)
    analysis = Analysis(
        classes=overlaps.classes,
        wished_precision=wish.precision,
        deploy=deploy,
        threshold=threshold,
        together=together,
        per_class=curves,
        precision_recall=precision_recall(overlaps, counted),
        confusion=confusion_of(overlaps, outcomes),
        sizes=size_bands(overlaps, preprocessing),
        errors=error_split(overlaps),
        pictures=pictures,
        worst=draw_worst(folder, validation, overlaps, outcomes, pictures),
    )
    write_record(folder / ANALYSIS, analysis)
    return analysis


def count(overlaps: Overlaps) -> Counted:
    """Match detections with objects of their class as COCO does."""
    objects = overlaps.objects
    matched = assign(
        overlaps.pairs.only(overlaps.same_class(overlaps.pairs)),
        overlaps.groups,
        np.array([IOU]),
        objects.crowd[None],
        objects.crowd,
    )[0]
    aside = np.append(objects.crowd, False)[matched]
    return Counted(matched, (matched >= 0) & ~aside, matched < 0)


def curves_of(
    overlaps: Overlaps, counted: Counted, precision: Optional[float]
) -> Dict[str, ScoreCurve]:
    """Follow each class over the score."""
    return {
        name: _curve(overlaps, counted, label, precision)
        for label, name in enumerate(overlaps.classes)
    }


def _curve(
    overlaps: Overlaps, counted: Counted, label: Optional[int], precision: Optional[float]
) -> ScoreCurve:
    score, objects = overlaps.detections.score, overlaps.to_find()
    if label is None:
        return score_curve(score, counted.right, counted.wrong, int(objects.sum()), precision)
    mine = overlaps.detections.label == label
    return score_curve(
        score[mine],
        counted.right[mine],
        counted.wrong[mine],
        int(objects[label]),
        precision,
        most=POINTS_OF_A_CLASS,
    )


def precision_recall(overlaps: Overlaps, counted: Counted) -> Dict[str, Tuple[float, ...]]:
    """Give COCO's precision at its recall levels, by class that has objects."""
    objects = overlaps.to_find()
    return {
        overlaps.classes[label]: tuple(
            precision_levels(
                counted.right[order], counted.wrong[order], int(objects[label])
            ).tolist()
        )
        for label, order in enumerate(by_score(overlaps))
        if objects[label]
    }


def picture_results(
    overlaps: Overlaps, counted: Counted, outcomes: Outcomes
) -> Tuple[PictureResult, ...]:
    """Count what happened on each picture; they come by name."""
    pictures = len(overlaps.images)
    found, truth = overlaps.detections.picture, overlaps.objects

    def of(kind: int) -> List[int]:
        counts: List[int] = np.bincount(
            found[outcomes.detection == kind], minlength=pictures
        ).tolist()
        return counts

    columns = zip(
        [image["file_name"] for image in overlaps.images],
        np.bincount(truth.picture[~truth.crowd], minlength=pictures).tolist(),
        of(RIGHT),
        of(FALSE_ALARM),
        np.bincount(truth.picture[outcomes.object == MISSED], minlength=pictures).tolist(),
        of(WRONG_CLASS),
        np.round(picture_losses(overlaps, counted.right, counted.wrong), 6).tolist(),
    )
    return tuple(sorted((PictureResult(*row) for row in columns), key=lambda each: each.name))
