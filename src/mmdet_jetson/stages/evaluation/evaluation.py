"""The `evaluation` artifact: figures, predictions and drawn pictures, whatever was evaluated."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Container, Dict, List, Mapping, Sequence, Tuple

from mmdet_jetson.contract.parameters.evaluate import DrawingParameters
from mmdet_jetson.contract.records import encode, write_record
from mmdet_jetson.contract.report import EvaluationMetrics
from mmdet_jetson.stages.annotations.coco_file import (
    CocoAnnotation,
    CocoImage,
    Prediction,
    read_split,
)
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluation.coco_figures import Figures, coco_figures
from mmdet_jetson.stages.evaluation.matches import write_matches
from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.drawing import draw, write_jpeg
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, read_picture
from mmdet_jetson.stages.job import P, StageJob

LONGEST_NAME = 255  # of a file, in bytes, on Linux: the folders of a picture count in its drawing's

Detect = Callable[[Path], List[Detection]]


@dataclass(frozen=True)
class Validation:
    """The validation split of a `dataset` artifact; ``images`` are COCO's, by file name."""

    folder: Path
    images: Tuple[CocoImage, ...]
    classes: Tuple[str, ...]
    truth: Mapping[int, Tuple[Detection, ...]]

    @classmethod
    def read(cls, dataset: Path) -> "Validation":
        """Read ``val.json`` of a `dataset` artifact.

        Raises:
            StageError: there is no picture in it.
        """
        content = read_split(dataset / "val.json")
        if not content["images"]:
            raise StageError(
                "the validation split has no pictures, so there is nothing to evaluate",
                "add pictures to the dataset's val split",
            )
        categories = sorted(content["categories"], key=lambda category: category["id"])
        return cls(
            folder=dataset / "val",
            images=tuple(sorted(content["images"], key=lambda image: image["file_name"])),
            classes=tuple(category["name"] for category in categories),
            truth=_truth(content["images"], content["annotations"]),
        )

    @property
    def annotations(self) -> Path:
        """The COCO file itself."""
        return self.folder.parent / "val.json"

    def path(self, image: CocoImage) -> Path:
        """Where a picture lies."""
        return self.folder / image["file_name"]


@dataclass(frozen=True)
class Described:
    """What was evaluated: a name of `contract.report` or "engine", and how it sees pictures."""

    subject: str
    evidence: str
    preprocessing: Preprocessing


def evaluate(
    job: StageJob[P], validation: Validation, detect: Detect
) -> Dict[int, List[Detection]]:
    """Detect on every validation picture, by image id, telling how far it is."""
    found: Dict[int, List[Detection]] = {}
    total = len(validation.images)
    for step, image in enumerate(validation.images, start=1):
        found[image["id"]] = detect(validation.path(image))
        if step % 10 == 0 or step == total:
            job.progress(step, total, "pictures")
    return found


def write_evaluation(
    folder: Path,
    validation: Validation,
    found: Mapping[int, Sequence[Detection]],
    described: Described,
) -> Figures:
    """Write what was detected, matched and measured; return the figures in ``metrics.json``."""
    predictions = predictions_of(found)
    figures = coco_figures(validation.annotations, predictions)
    metrics = EvaluationMetrics(
        subject=described.subject,
        evidence=described.evidence,
        preprocessing=encode(described.preprocessing),
        figures=figures.figures,
        per_class=figures.per_class,
        pictures=len(validation.images),
        detections=len(predictions),
    )
    (folder / "predictions.json").write_text(json.dumps(predictions))
    write_matches(folder, figures.matches)
    write_record(folder / "metrics.json", metrics)
    return figures


def predictions_of(found: Mapping[int, Sequence[Detection]]) -> List[Prediction]:
    """Write all detections in COCO's results format; ``found`` is by the pictures' ids."""
    return [
        prediction(identifier, detection)
        for identifier, detections in found.items()
        for detection in detections
    ]


def write_pictures(
    folder: Path,
    validation: Validation,
    found: Mapping[int, Sequence[Detection]],
    drawing: DrawingParameters,
    first_name: str,
) -> None:
    """Draw the first pictures by file name into ``pictures/``, the first as ``first_name`` too.

    ``drawing`` says how many, and from which score on.
    """
    (folder / "pictures").mkdir(exist_ok=True)
    names = {image["file_name"] for image in validation.images}
    for index, image in enumerate(validation.images[: max(1, drawing.pictures)]):
        drawn = draw(
            read_picture(validation.path(image)),
            [d for d in found[image["id"]] if d.score >= drawing.draw_threshold],
            validation.classes,
            validation.truth[image["id"]],
        )
        if index == 0:
            write_jpeg(folder / first_name, drawn)
        if index < drawing.pictures:
            write_jpeg(folder / "pictures" / drawn_name(image["file_name"], names), drawn)


def drawn_name(file_name: str, others: Container[str]) -> str:
    """Name the drawing of a picture: one flat folder holds them all, as JPEG.

    ``others`` are the names of all pictures, whether they are drawn or not.
    """
    flat = file_name.replace("%", "%25").replace("/", "%2F")
    # Nothing else is named so: in a name of a picture a % is followed by 25 or 2F.
    end = "%.jpg" if f"{file_name}.jpg" in others else ".jpg"
    name = flat if flat.endswith(".jpg") else f"{flat}{end}"
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    return f"{hashlib.sha256(os.fsencode(file_name)).hexdigest()}%.jpg"


def prediction(identifier: int, detection: Detection) -> Prediction:
    """Write a detection in COCO's results format; ``identifier`` is the picture's."""
    left, top, right, bottom = detection.box
    box = [left, top, right - left, bottom - top]
    return {
        "image_id": identifier,
        "category_id": detection.label + 1,
        "bbox": [round(value, 3) for value in box],
        "score": round(detection.score, 6),
    }


def _truth(
    images: Sequence[CocoImage], annotations: Sequence[CocoAnnotation]
) -> Dict[int, Tuple[Detection, ...]]:
    truth: Dict[int, List[Detection]] = {image["id"]: [] for image in images}
    for annotation in annotations:
        left, top, width, height = annotation["bbox"]
        box = (left, top, left + width, top + height)
        truth[annotation["image_id"]].append(Detection(box, 1.0, annotation["category_id"] - 1))
    return {identifier: tuple(detections) for identifier, detections in truth.items()}
