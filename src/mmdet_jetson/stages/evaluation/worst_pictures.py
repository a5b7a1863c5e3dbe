"""Drawings of the pictures that went worst, with what was found, missed and made up on them."""

from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import cv2
import numpy as np

from mmdet_jetson.contract.analysis import WORST, PictureResult, WorstPicture
from mmdet_jetson.stages.evaluation.evaluation import Validation, drawn_name
from mmdet_jetson.stages.evaluation.outcomes import (
    CONFUSED,
    FALSE_ALARM,
    FOUND,
    MISSED,
    RIGHT,
    WRONG_CLASS,
    Outcomes,
)
from mmdet_jetson.stages.evaluation.overlaps import Overlaps
from mmdet_jetson.stages.inference.drawing import Colour, Pen, write_jpeg
from mmdet_jetson.stages.inference.preprocessing import read_picture

OF_EACH_KIND = 12
WIDTH = 560
"""Of a drawing, in pixels: as wide as two of them stand side by side."""
TALLEST = 840
MOST_BYTES = 2_000_000
"""Of all drawings together; the worst of each kind come first."""
QUALITY = 82
THIN, THICK = 1, 2

Count = Callable[[PictureResult], int]
KINDS: Mapping[str, Count] = {
    "false alarms": lambda picture: picture.false_alarms,
    "misses": lambda picture: picture.misses,
    "wrong class": lambda picture: picture.wrong_class,
}
# Green, red, orange and yellow in BGR: far apart for those, too, who see no red or no green, and
# each is told by its line or its label as well.
GREEN: Colour = (80, 200, 80)
RED: Colour = (60, 60, 255)
ORANGE: Colour = (0, 150, 255)
YELLOW: Colour = (0, 240, 255)
GREY: Colour = (200, 200, 200)
LEGEND = "green: right  red: false alarm  orange: wrong class  dashed: ground truth, yellow: missed"


def worst_of(results: Sequence[PictureResult]) -> List[Tuple[PictureResult, str]]:
    """Choose the pictures with most of each kind; of those alike, the ones that cost more AP50.

    They come in turn, the worst of each kind first, so that a limit cuts all kinds alike.
    """
    ranked: Dict[str, List[PictureResult]] = {}
    for kind, count in KINDS.items():
        bad = sorted(results, key=lambda each: (-count(each), -each.lost, each.name))
        ranked[kind] = [each for each in bad if count(each)][:OF_EACH_KIND]
    return [
        (pictures[turn], kind)
        for turn in range(OF_EACH_KIND)
        for kind, pictures in ranked.items()
        if turn < len(pictures)
    ]


def draw_worst(
    folder: Path,
    validation: Validation,
    overlaps: Overlaps,
    outcomes: Outcomes,
    results: Sequence[PictureResult],
) -> Tuple[WorstPicture, ...]:
    """Draw them into ``WORST`` of ``folder``, each once, up to `MOST_BYTES`; list them by kind."""
    (folder / WORST).mkdir(exist_ok=True)
    places = {image["file_name"]: place for place, image in enumerate(overlaps.images)}
    files: Dict[str, str] = {}
    shown: List[WorstPicture] = []
    size = 0
    for result, kind in worst_of(results):
        if result.name not in files:
            if size > MOST_BYTES:
                continue
            file = drawn_name(result.name, places)
            drawn = draw_outcomes(
                read_picture(validation.folder / result.name),
                overlaps,
                outcomes,
                places[result.name],
            )
            write_jpeg(folder / WORST / file, drawn, QUALITY)
            files[result.name] = file
            size += (folder / WORST / file).stat().st_size
        shown.append(WorstPicture(result.name, files[result.name], kind))
    order = list(KINDS)
    return tuple(sorted(shown, key=lambda each: order.index(each.kind)))


def draw_outcomes(
    picture: np.ndarray, overlaps: Overlaps, outcomes: Outcomes, place: int
) -> np.ndarray:
    """Draw what became of a picture's detections and objects, scaled to `WIDTH`.

    Objects are dashed, missed ones thick and yellow; detections are solid, by what they are.
    """
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, TALLEST / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.ascontiguousarray(cv2.resize(picture, size, interpolation=how))
    pen = Pen(canvas)
    factors = np.array([size[0] / width, size[1] / height] * 2)
    labels = _draw_objects(pen, overlaps, outcomes, place, factors)
    labels += _draw_detections(pen, overlaps, outcomes, place, factors)
    pen.thickness = THIN
    # Labels come last: a box drawn over a label would make it illegible.
    for text, box, colour in labels:
        pen.label(text, box, colour)
    return np.vstack([canvas, pen.legend(LEGEND)])


_Label = Tuple[str, Sequence[float], Colour]


def _draw_objects(
    pen: Pen, overlaps: Overlaps, outcomes: Outcomes, place: int, factors: np.ndarray
) -> List[_Label]:
    objects, labels = overlaps.objects, []
    colours = {FOUND: GREY, CONFUSED: ORANGE, MISSED: YELLOW}
    for index in np.flatnonzero((objects.picture == place) & (outcomes.object >= 0)).tolist():
        state = int(outcomes.object[index])
        box = (_corners(objects.box[index]) * factors).tolist()
        pen.thickness = THICK if state == MISSED else THIN
        pen.dashed_box(box, colours[state])
        if state == MISSED:
            labels.append((f"missed {overlaps.classes[objects.label[index]]}", box, YELLOW))
    return labels


def _draw_detections(
    pen: Pen, overlaps: Overlaps, outcomes: Outcomes, place: int, factors: np.ndarray
) -> List[_Label]:
    detections, labels = overlaps.detections, []
    pen.thickness = THICK
    colours = {RIGHT: GREEN, WRONG_CLASS: ORANGE, FALSE_ALARM: RED}
    shown = np.flatnonzero((detections.picture == place) & (outcomes.detection >= 0))
    for index in shown[::-1].tolist():  # the best score last, on top
        kind = int(outcomes.detection[index])
        if not np.isfinite(detections.box[index]).all():
            continue
        box = (_corners(detections.box[index]) * factors).tolist()
        pen.solid_box(box, colours[kind])
        text = f"{overlaps.classes[detections.label[index]]} {detections.score[index]:.2f}"
        if kind == WRONG_CLASS:
            real = overlaps.classes[overlaps.objects.label[outcomes.met[index]]]
            text = f"{text}, is {real}"
        labels.append((text, box, colours[kind]))
    return labels


def _corners(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:2], box[:2] + box[2:]])
