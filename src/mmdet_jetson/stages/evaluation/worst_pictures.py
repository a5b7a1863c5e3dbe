"""Drawings of the pictures that went worst, with what was found, missed and made up on them."""

from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import cv2
import numpy as np

from mmdet_jetson.contract.analysis import (
    ERROR_TYPES,
    WORST,
    WORST_KINDS,
    PictureResult,
    WorstPicture,
)
from mmdet_jetson.stages.evaluation.error_types import types_of_detections
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
from mmdet_jetson.stages.inference.drawing import Colour, Pen, Rectangle, write_jpeg
from mmdet_jetson.stages.inference.preprocessing import read_picture

OF_EACH_KIND = 12
WIDTH = 800
"""Of a drawing at most, in pixels: labels in it can be read once it is enlarged."""
TALLEST = 1000
NARROW = 560
"""How wide smaller pictures are drawn: more pixels would not show more."""
MOST_BYTES = 3_000_000
"""Of all drawings together; the worst of each kind come first."""
QUALITY = 80
THIN, THICK = 1, 2
LETTERS = 0.6
"""Scale of labels: capitals 13 pixels high."""

Count = Callable[[PictureResult], int]
COUNTS: Sequence[Count] = (
    lambda picture: picture.false_alarms,
    lambda picture: picture.misses,
    lambda picture: picture.wrong_class,
)
"""How bad a picture is, of each of `WORST_KINDS`."""
# Green, red, orange and yellow in BGR: far apart for those, too, who see no red or no green, and
# each is told by its line or its label as well.
GREEN: Colour = (80, 200, 80)
RED: Colour = (60, 60, 255)
ORANGE: Colour = (0, 150, 255)
YELLOW: Colour = (0, 240, 255)
GREY: Colour = (200, 200, 200)


def worst_of(results: Sequence[PictureResult]) -> List[Tuple[PictureResult, str]]:
    """Choose the pictures with most of each kind; of those alike, the ones that cost more AP50.

    They come in turn, the worst of each kind first, so that a limit cuts all kinds alike.
    """
    ranked: Dict[str, List[PictureResult]] = {}
    for kind, count in zip(WORST_KINDS, COUNTS):
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
    types = _types_of_false_alarms(overlaps, outcomes)
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
                types,
                places[result.name],
            )
            write_jpeg(folder / WORST / file, drawn, QUALITY)
            files[result.name] = file
            size += (folder / WORST / file).stat().st_size
        counts = _counted(types[overlaps.detections.picture == places[result.name]])
        shown.append(WorstPicture(result.name, files[result.name], kind, counts))
    return tuple(sorted(shown, key=lambda each: WORST_KINDS.index(each.kind)))


def _types_of_false_alarms(overlaps: Overlaps, outcomes: Outcomes) -> np.ndarray:
    """Give false alarms their type as an index of `ERROR_TYPES`, all other detections -1: [D]."""
    return np.where(outcomes.detection == FALSE_ALARM, types_of_detections(overlaps), -1)


def _counted(types: np.ndarray) -> Dict[str, int]:
    counts = np.bincount(types[types >= 0], minlength=len(ERROR_TYPES)).tolist()
    return {name: count for name, count in zip(ERROR_TYPES, counts) if count}


def draw_outcomes(
    picture: np.ndarray, overlaps: Overlaps, outcomes: Outcomes, types: np.ndarray, place: int
) -> np.ndarray:
    """Draw what became of a picture's detections and objects, between `NARROW` and `WIDTH` wide.

    Objects are dashed, missed ones thick and yellow; detections are solid, by what they are. What
    the colours mean is said by whoever shows it: a legend in it would be cut or too small.
    """
    height, width = picture.shape[:2]
    scale = min(min(max(width, NARROW), WIDTH) / width, TALLEST / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.ascontiguousarray(cv2.resize(picture, size, interpolation=how))
    pen = Pen(canvas)
    pen.scale = LETTERS
    factors = np.array([size[0] / width, size[1] / height] * 2)
    labels = _draw_objects(pen, overlaps, outcomes, place, factors)
    labels += _draw_detections(pen, overlaps, outcomes, place, types=types, factors=factors)
    pen.thickness = THIN
    # Labels come last: a box drawn over a label would make it illegible.
    taken: List[Rectangle] = []
    # The best detection chooses its place first.
    for text, box, colour in reversed(labels):
        pen.label(text.strip(), box, colour, taken)
    return canvas


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
            labels.append((f"missed {_class(overlaps, objects.label[index])}", box, YELLOW))
    return labels


def _draw_detections(
    pen: Pen,
    overlaps: Overlaps,
    outcomes: Outcomes,
    place: int,
    *,
    types: np.ndarray,
    factors: np.ndarray,
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
        name = _class(overlaps, detections.label[index])
        text = f"{name} {detections.score[index]:.2f}"
        if kind == WRONG_CLASS:
            real = overlaps.classes[overlaps.objects.label[outcomes.met[index]]]
            text = f"{text}, is {real}"
        elif kind == FALSE_ALARM and types[index] >= 0:
            text = f"{text} {ERROR_TYPES[types[index]]}"
        labels.append((text, box, colours[kind]))
    return labels


def _class(overlaps: Overlaps, label: int) -> str:
    """Name a class where there are several: a label that says less hides less."""
    return overlaps.classes[label] if len(overlaps.classes) > 1 else ""


def _corners(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:2], box[:2] + box[2:]])
