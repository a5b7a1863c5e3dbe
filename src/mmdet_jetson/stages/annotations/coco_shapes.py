"""The shapes of COCO annotations as exporters write them: boxes, polygons, masks, rotated boxes.

MMDetection trains on ``bbox``. A polygon or mask is used where it agrees with the box, as it is
finer, and where there is no usable box; `extents` compares the two inside the picture.
"""

import re
from dataclasses import replace
from typing import List, Mapping, Optional, Sequence, Tuple

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.coco_sections import EXPORT_HINT
from mmdet_jetson.stages.annotations.findings import Defect, Findings, LeftOut
from mmdet_jetson.stages.annotations.records import Outline, Region
from mmdet_jetson.stages.annotations.strict_json import number, numbers

Raw = Mapping[str, object]

_NO_EXTENT = "its box has no width or no height, and MMDetection learns none of that kind"
_RING_LEFT_OUT = "a ring with fewer than three different points was left out of the segmentation"
_BOX_INSTEAD = "its segmentation has fewer than three different points, so its box is used"
_SHAPE_INSTEAD = "its box has no width or no height, so its segmentation is used"
_ROTATED = (
    "the box is turned by attributes.rotation, so the upright box around the turned one is used "
    "(MMDetection would learn the box as it was before the turn)"
)
_CORNERS = (
    "its area is that of a box given by two corners, but a COCO box is x, y, width, height, and "
    "was read so: look at the pictures of the report"
)
_AREA = (
    "its area is 0 or less, so MMDetection would leave it out, but its shape has one: it is used"
)
_ABSURD = 1e18
_NUMERAL = re.compile(r"\s*[-+]?\d{1,9}(\.\d{1,15})?\s*")


def shaped(blank: Region, raw: Raw, place: str, findings: Findings) -> Region:
    """A region with the shape of an annotation; ``place`` says where that stands.

    Raises:
        LeftOut: it has nothing but a box without a width or a height.
        Defect: it has no shape, or one that cannot be read.
    """
    segmentation = raw.get("segmentation")
    box, stated = _box(raw.get("bbox"), needed=not segmentation)
    _check_area(raw.get("area"), stated, bool(segmentation), place, findings)
    if segmentation and isinstance(segmentation, dict):
        return replace(blank, mask=segmentation, stated=box)
    degrees = _rotation(raw)
    rings = _rings(segmentation, box, place, findings)
    if degrees and box is not None and (not rings or _is_same(rings, box)):
        findings.warn(_ROTATED, place)
        return replace(blank, outlines=(geometry.turned(box, _center(box), degrees),))
    if rings:
        if stated and box is None:
            findings.warn(_SHAPE_INSTEAD, place)
        # The box of an object that is turned is that of before the turn.
        return replace(blank, outlines=rings, stated=None if degrees else box)
    if box is None:
        raise LeftOut(_NO_EXTENT, "delete it or draw it again")
    return replace(blank, outlines=(box,))


def all_fractions(annotations: Sequence[object]) -> bool:
    """Whether every box of a file lies between 0 and 1, as shares of a picture's size do."""
    boxes = [raw.get("bbox") for raw in annotations if isinstance(raw, dict)]
    stated = [box for box in boxes if isinstance(box, list) and len(box) == 4]
    return bool(stated) and all(
        isinstance(value, (int, float)) and 0 <= value <= 1 for box in stated for value in box
    )


def all_corners(annotations: Sequence[object]) -> bool:
    """Whether the areas of a file, two at least, all say that boxes are given by two corners."""
    told = []
    for raw in (each for each in annotations if isinstance(each, dict)):
        box, area = raw.get("bbox"), raw.get("area")
        if isinstance(area, (int, float)) and area > 0 and not raw.get("segmentation"):
            is_box = isinstance(box, list) and len(box) == 4 and all(map(_is_side, [*box, area]))
            told.append(is_box and _by_corners(box or (), area))
    return len(told) > 1 and all(told)


def _is_side(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) < _ABSURD


def _by_corners(box: Sequence[float], area: float) -> bool:
    """Whether the area is that between two corners, and not that of width and height."""
    left, top, right, bottom = box
    between = (right - left) * (bottom - top) if right > left and bottom > top else 0
    return abs(between - area) <= 0.01 * area and abs(right * bottom - area) > 0.05 * area


def _box(box: object, needed: bool) -> Tuple[Optional[Outline], Sequence[float]]:
    """A box that has a width and a height, and the numbers of any."""
    if box in (None, []) and not needed:
        return None, ()
    values = numbers(box, "bbox")
    if len(values) != 4:
        raise Defect(f"its bbox has {len(values)} numbers, not 4", "give x, y, width, height")
    x, y, width, height = values
    has_extent = width > 0 and height > 0
    return geometry.rectangle(x, y, width, height) if has_extent else None, values


def _check_area(
    area: object, box: Sequence[float], has_segmentation: bool, place: str, findings: Findings
) -> None:
    """Warn where an area tells that a box was meant otherwise; areas are computed anew."""
    if isinstance(area, bool) or not isinstance(area, (int, float)):
        return
    if area <= 0:
        if has_segmentation or (box and min(box[2:]) > 0):
            findings.warn(_AREA, place)
        return
    if box and not has_segmentation and _by_corners(box, area):
        findings.warn(_CORNERS, place)


def _rotation(raw: Raw) -> float:
    """CVAT's rotation in degrees, clockwise around the box's centre, from 0 to below 360."""
    attributes = raw.get("attributes")
    value = attributes.get("rotation") if isinstance(attributes, dict) else None
    if value in (None, ""):
        return 0.0
    if isinstance(value, str) and _NUMERAL.fullmatch(value):
        value = float(value)
    return number(value, "attributes.rotation") % 360


def _center(box: Outline) -> Tuple[float, float]:
    left, top, right, bottom = geometry.bounds([box])
    return (left + right) / 2, (top + bottom) / 2


def _is_same(rings: Sequence[Outline], box: Outline) -> bool:
    """Whether a segmentation is the four corners of the box, in whatever order, to a pixel."""
    points = {point for ring in rings for point in ring}
    return len(rings) == 1 and all(
        any(abs(x - cx) <= 1 and abs(y - cy) <= 1 for cx, cy in box) for x, y in points
    )


def _rings(
    segmentation: object, box: Optional[Outline], place: str, findings: Findings
) -> Tuple[Outline, ...]:
    """The polygons that have an area to them; none where there is no segmentation."""
    if not segmentation:
        return ()
    if not isinstance(segmentation, list):
        raise Defect("its segmentation is neither polygons nor a mask", EXPORT_HINT)
    rings = [ring for ring in map(_flat, *_listed(segmentation)) if ring]
    outlines = [_outline(ring) for ring in rings]
    good = tuple(outline for outline in outlines if len(set(outline)) >= 3)
    for outline in outlines:
        if len(set(outline)) < 3 and good:
            findings.warn(_RING_LEFT_OUT, place)
    if not good and outlines:
        if box is None:
            first = outlines[0]
            geometry.polygon([x for x, _ in first], [y for _, y in first])
        findings.warn(_BOX_INSTEAD, place)
    return good


def _listed(segmentation: List[object]) -> Tuple[List[object], List[str]]:
    """The polygons of a segmentation with their names; one alone may not be in a list of such.

    VIA writes one polygon as x, y, x, y, ...; others write it as [x, y], [x, y], ...
    """
    flat = not any(isinstance(ring, (list, dict)) for ring in segmentation)
    points = len(segmentation) > 2 and all(map(_is_point, segmentation))
    if flat or points:
        return [segmentation], ["segmentation"]
    return segmentation, [f"segmentation[{index}]" for index in range(len(segmentation))]


def _is_point(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and not any(isinstance(each, (list, dict)) for each in value)
    )


def _flat(ring: object, name: str) -> List[float]:
    """A polygon as x, y, x, y, ..., from that or from points."""
    if isinstance(ring, list) and ring and all(map(_is_point, ring)):
        ring = [value for point in ring for value in point]
    return numbers(ring, name)


def _outline(ring: Sequence[float]) -> Outline:
    xs, ys = ring[0::2], ring[1::2]
    if len(xs) != len(ys):
        raise Defect(
            f"a polygon has {len(xs)} x and {len(ys)} y coordinates", "draw the region again"
        )
    return tuple(zip(xs, ys))
