"""What an annotation file says, whatever its format, and what the stage makes of it."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple

from mmdet_jetson.stages.annotations.coco_file import Segmentation
from mmdet_jetson.stages.annotations.findings import Defect

Point = Tuple[float, float]
Outline = Tuple[Point, ...]


@dataclass(frozen=True)
class Labels:
    """How an object gets its class.

    Formats whose regions have free attributes read the one called ``attribute``, and use
    ``default``, if any, where it says nothing; the others have a class for each object.
    """

    classes: Sequence[str]
    attribute: str
    default: Optional[str]


@dataclass(frozen=True)
class Region:
    """One object as annotated.

    ``where`` is how the annotation file numbers it, for messages. The shape is one or several
    closed ``outlines`` in pixels of the upright picture, or a COCO run-length ``mask``.
    """

    where: str
    label: str
    outlines: Tuple[Outline, ...] = ()
    mask: Optional[Mapping[str, object]] = None
    crowd: bool = False


@dataclass(frozen=True)
class Record:
    """One picture as annotated: name relative to the pictures folder, regions, stated size."""

    name: str
    regions: Tuple[Region, ...]
    size: Optional[Tuple[int, int]] = None


@dataclass(frozen=True)
class Extent:
    """Where an object lies: COCO segmentation, box (x, y, width, height) and area, in pixels."""

    segmentation: Segmentation
    box: Tuple[float, float, float, float]
    area: float


@dataclass(frozen=True)
class Annotation:
    """One object of the finished dataset, inside its picture."""

    label: str
    extent: Extent
    crowd: bool


@dataclass(frozen=True)
class Example:
    """One picture of the finished dataset.

    ``name`` is its file name in the artifact, ``source`` the user's file. It is copied as it is
    unless ``reencode`` says that its upright pixels have to be written anew; ``digest`` is over
    those pixels.
    """

    name: str
    source: Path
    width: int
    height: int
    digest: str
    reencode: bool
    annotations: Tuple[Annotation, ...]


def known_class(label: str, classes: Sequence[str]) -> str:
    """The label, when it is one of the classes.

    Raises:
        Defect: it is not; the sentence names the nearest class.
    """
    if label in classes:
        return label
    by_lowercase = {name.lower(): name for name in classes}
    near = difflib.get_close_matches(label.lower(), by_lowercase, n=1, cutoff=0.5)
    listed = ", ".join(classes)
    raise Defect(
        f'unknown class "{label}"',
        f'the nearest class is "{by_lowercase[near[0]]}"; correct it or add it to the classes'
        if near
        else f"the classes are: {listed}; correct it or add it to them",
    )
