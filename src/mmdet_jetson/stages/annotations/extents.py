"""Where an annotated object lies in its picture, by its shape or by the box beside that."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.masks import mask_extent
from mmdet_jetson.stages.annotations.notes import read_notes, write_notes
from mmdet_jetson.stages.annotations.pictures import Inspection
from mmdet_jetson.stages.annotations.records import Extent, Region

_DISAGREE = (
    "its box differs from its segmentation by more than two pixels and 2 % of its size, so the "
    "box is used, as MMDetection does"
)
_BOX_ALONE = (
    "its box is used, as its segmentation is broken, has no area or lies outside the picture"
)
_SHAPE_ALONE = "its segmentation is used, as its box has no area or lies outside the picture"
_TOLERANCE = 2.0
_SHARE = 0.02
_KEY = 40  # hex digits


class Extents:
    """Where regions lie, remembered from run to run in a file: it takes a millisecond for each.

    An extent goes by all that it is computed from. A line of the file is that as a digest, the
    extent as `Extent.text`, and what is to be said of it.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        lines = read_notes(path).decode().split("\n")
        self._last = {line[:_KEY]: line for line in lines if line}
        self._found: Dict[str, str] = {}

    def of(
        self, region: Region, picture: Inspection, place: str, findings: Findings
    ) -> Tuple[str, Extent]:
        """Where a region lies; where its shape and the box beside it differ, the box counts.

        Returns what `again` knows the extent by, too.

        Raises:
            LeftOut: it has no area in the picture.
            Defect: its outline or its mask is broken.
        """
        told = region.outlines, region.mask, region.stated, region.fractions
        computed_from = repr((told, picture.width, picture.height))
        key = sha256(computed_from.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY]
        extent, topics = self._last_of(key) or _chosen(region, picture)
        self._found[key] = "\t".join([f"{key}{extent.text}", *topics])
        for topic in topics:
            findings.warn(topic, place)
        return key, extent

    def again(self, key: str) -> Optional[Extent]:
        """The extent that `of` found in the run before, if nothing was to be said of it."""
        line = self._last.get(key)
        if line is None or "\t" in line:
            return None
        self._found[key] = line
        return Extent.read(line[_KEY:])

    def keep(self) -> None:
        """Write what this run found, for the next; what it did not need any more is forgotten."""
        assert self._path
        write_notes(self._path, "\n".join(self._found.values()).encode())

    def _last_of(self, key: str) -> Optional[Tuple[Extent, List[str]]]:
        line = self._last.get(key)
        if line is None:
            return None
        text, *topics = line[_KEY:].split("\t")
        return Extent.read(text), topics


def _chosen(region: Region, picture: Inspection) -> Tuple[Extent, List[str]]:
    """The extent of a region's shape or of its box, and what is to be said of it."""
    if region.stated is None:
        return _placed(region, picture)
    box = replace(region, outlines=(region.stated,), mask=None)
    try:
        shape, topics = _placed(region, picture)
    except Defect:
        boxed, topics = _placed(box, picture)
        return boxed, [*topics, _BOX_ALONE]
    if _agree(shape, box, picture):
        return shape, topics
    try:
        boxed, topics_of_box = _placed(box, picture)
    except Defect:
        return shape, [*topics, _SHAPE_ALONE]
    return boxed, [*topics_of_box, _DISAGREE]


def _agree(shape: Extent, box: Region, picture: Inspection) -> bool:
    """Whether a box is that of a shape to two pixels or to 2 % of it, inside the picture."""
    scale = (picture.width, picture.height) if box.fractions else (1, 1)
    left, top, right, bottom = geometry.bounds(geometry.scaled(box.outlines, *scale))
    inside = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
    x, y, width, height = shape.box
    slack = [max(_TOLERANCE, _SHARE * side) for side in (right - left, bottom - top)] * 2
    edges = zip(inside, (x, y, x + width, y + height), slack)
    return all(abs(one - other) <= most for one, other, most in edges)


def _placed(region: Region, picture: Inspection) -> Tuple[Extent, List[str]]:
    """The extent of a region's shape, and what had to be done to it."""
    if region.mask is not None:
        return mask_extent(region.mask, picture.width, picture.height), []
    across, down = (picture.width, picture.height) if region.fractions else (1, 1)
    outlines = geometry.scaled(region.outlines, across, down)
    placement = geometry.place(outlines, picture.width, picture.height)
    repaired = ["made valid, as its outline crosses itself"] if placement.repaired else []
    clipped = ["cut off at the picture's edge, which it reaches past"] if placement.clipped else []
    return placement.extent, repaired + clipped
