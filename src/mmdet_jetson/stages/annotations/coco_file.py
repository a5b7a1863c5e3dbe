"""COCO's JSON as artifacts hold it: the annotations of a split, and what a model detected."""

import json
from pathlib import Path
from typing import Dict, List, Mapping, TypedDict, Union

Segmentation = Union[List[List[float]], Mapping[str, object]]
"""Polygons as x, y, x, y, ..., or a run-length mask."""


class CocoImage(TypedDict):
    """A picture: its name inside the split's folder, its size in pixels."""

    id: int
    file_name: str
    width: int
    height: int


class CocoAnnotation(TypedDict):
    """An object of a picture; ``bbox`` is x, y, width, height in its pixels."""

    id: int
    image_id: int
    category_id: int
    bbox: List[float]
    area: float
    segmentation: Segmentation
    iscrowd: int


class CocoCategory(TypedDict):
    """A class; ids count from 1."""

    id: int
    name: str


class CocoFile(TypedDict):
    """``train.json`` or ``val.json`` of a `dataset` artifact."""

    info: Dict[str, object]
    images: List[CocoImage]
    annotations: List[CocoAnnotation]
    categories: List[CocoCategory]


class Prediction(TypedDict):
    """A detection in COCO's results format; ``bbox`` as in `CocoAnnotation`."""

    image_id: int
    category_id: int
    bbox: List[float]
    score: float


def read_split(path: Path) -> CocoFile:
    """Read the annotations of a split, which the dataset stage has written."""
    content: CocoFile = json.loads(path.read_text(encoding="utf-8"))
    return content


def read_predictions(path: Path) -> List[Prediction]:
    """Read ``predictions.json`` of an `evaluation` artifact."""
    predictions: List[Prediction] = json.loads(path.read_text(encoding="utf-8"))
    return predictions
