"""Outlines of annotated shapes, and the part of them that lies inside a picture."""

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from mmdet_jetson.stages.annotations.findings import Defect, LeftOut
from mmdet_jetson.stages.annotations.records import Extent, Outline, Point

ELLIPSE_POINTS = 72
"""Points on the outline of an ellipse: the polygon has 99.87% of its area (see ``ellipse``)."""

DEGREES = 180 / math.pi
"""Degrees of a radian."""

NO_AREA = "it has no area, and MMDetection learns none of that kind"
OUTSIDE = "it lies wholly outside its picture, and MMDetection learns none of that kind"
UNDER_A_PIXEL = (
    "it covers less than one pixel of the picture in width or height, and MMDetection learns "
    "none of that kind"
)

_DECIMALS = 3
# Six decimals, as most tools write fractions, put a box at the edge this far past it.
_ROUNDED = 2e-6
_SMALLEST_AREA = 10**-_DECIMALS


@dataclass(frozen=True)
class Placement:
    """An extent inside a picture, and what had to be done to get it there."""

    extent: Extent
    repaired: bool
    clipped: bool


def rectangle(x: float, y: float, width: float, height: float) -> Outline:
    """The four corners of an upright rectangle, from its top left corner."""
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def ellipse(cx: float, cy: float, rx: float, ry: float, theta: float = 0.0) -> Outline:
    """An ellipse as a polygon of ``ELLIPSE_POINTS`` points.

    ``theta`` is the rotation in radians, clockwise on the screen as y points down. The points are
    the parametric form ``center + R(theta) (rx cos t, ry sin t)`` at equal steps of t; the polygon
    inscribed at n equal steps has the area ``n/2 sin(2 pi/n) rx ry``, which is the affine image of
    the regular n-gon in the unit circle.
    """
    cos, sin = math.cos(theta), math.sin(theta)
    steps = [2 * math.pi * index / ELLIPSE_POINTS for index in range(ELLIPSE_POINTS)]
    on_axes = [(rx * math.cos(t), ry * math.sin(t)) for t in steps]
    return tuple((cx + a * cos - b * sin, cy + a * sin + b * cos) for a, b in on_axes)


def polygon(xs: Sequence[float], ys: Sequence[float]) -> Outline:
    """A polygon from the coordinates of its points.

    Raises:
        Defect: the counts differ, or there are fewer than three different points.
    """
    if len(xs) != len(ys):
        raise Defect(
            f"the polygon has {len(xs)} x and {len(ys)} y coordinates", "draw the region again"
        )
    outline = tuple(zip(xs, ys))
    distinct = len(set(outline))
    if distinct < 3:
        raise Defect(
            f"the polygon has {distinct} different point{'' if distinct == 1 else 's'}, "
            "it needs at least 3",
            "delete the region or draw it again",
        )
    return outline


def bounds(outlines: Sequence[Outline]) -> Tuple[float, float, float, float]:
    """Left, top, right and bottom of outlines together."""
    xs, ys = zip(*[point for outline in outlines for point in outline])
    return min(xs), min(ys), max(xs), max(ys)


def place(outlines: Sequence[Outline], width: int, height: int) -> Placement:
    """The part of an object inside a picture of that size; area and bounds by shapely.

    Outlines that cross themselves are made valid first (even-odd rule). COCO polygons cannot hold
    holes: a hole counts for the area, not in the segmentation.

    Raises:
        LeftOut: no area, wholly outside, or less than one pixel wide or high (MMDetection leaves
            such boxes out of training without a word).
        Defect: the outline cannot be made valid.
    """
    repaired = not all(Polygon(outline).is_valid for outline in outlines)
    try:
        whole = shapely.union_all([shapely.make_valid(Polygon(outline)) for outline in outlines])
    except shapely.errors.GEOSException as error:
        # Points that are nearly the same, again and again.
        raise Defect(
            f"the outline crosses itself in a way that cannot be resolved ({error})",
            "draw the region again",
        ) from error
    if whole.area < _SMALLEST_AREA:
        raise LeftOut(NO_AREA, "delete the region or draw it again")
    inside = shapely.intersection(whole, box(0, 0, width, height))
    if inside.area < _SMALLEST_AREA:
        raise LeftOut(OUTSIDE, "was the picture resized or replaced after it was labelled?")
    clipped = not box(0, 0, width, height).covers(whole)
    kept = [list(outline) for outline in outlines]
    rings = _rings(inside) if repaired or clipped or len(outlines) > 1 else kept
    return Placement(_extent(rings, inside), repaired, clipped)


def _rings(geometry: shapely.Geometry) -> List[List[Tuple[float, float]]]:
    """The outer rings of a polygon, of several, or of those in a collection with lines."""
    if isinstance(geometry, Polygon):
        return [list(geometry.exterior.coords)[:-1]]
    parts = [part for part in geometry.geoms if isinstance(part, (Polygon, MultiPolygon))]
    return [ring for part in parts for ring in _rings(part) if part.area > 0]


def _extent(rings: List[List[Tuple[float, float]]], geometry: shapely.Geometry) -> Extent:
    xs, ys = zip(*[point for ring in rings for point in ring])
    left, top, right, bottom = (
        round(value, _DECIMALS) for value in (min(xs), min(ys), max(xs), max(ys))
    )
    width, height = round(right - left, _DECIMALS), round(bottom - top, _DECIMALS)
    if width < 1 or height < 1:
        raise LeftOut(UNDER_A_PIXEL, "delete the region: a box needs at least one pixel each way")
    flat = [[round(value, _DECIMALS) for point in ring for value in point] for ring in rings]
    return Extent.of(flat, (left, top, width, height), round(geometry.area, _DECIMALS))


def scaled(outlines: Sequence[Outline], across: float, down: float) -> Tuple[Outline, ...]:
    """Outlines whose coordinates are multiplied, such as fractions by a picture's size."""
    return tuple(tuple((x * across, y * down) for x, y in outline) for outline in outlines)


def snapped(outlines: Sequence[Outline]) -> Tuple[Outline, ...]:
    """Outlines as fractions of a picture, without what rounding put past its edges."""

    def snap(value: float) -> float:
        nearest = min(max(value, 0.0), 1.0)
        return nearest if abs(value - nearest) < _ROUNDED else value

    return tuple(tuple((snap(x), snap(y)) for x, y in outline) for outline in outlines)


def turned(outline: Outline, about: Point, degrees: float) -> Outline:
    """An outline turned around a point, clockwise on the screen as y points down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cx, cy = about
    from_there = [(x - cx, y - cy) for x, y in outline]
    return tuple((cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in from_there)
