"""Shapes of Label Studio: percents of the picture's sides, turned in its pixels."""

from typing import Mapping, Tuple

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.records import Outline
from mmdet_jetson.stages.annotations.strict_json import number, pairs

Json = Mapping[str, object]
Size = Tuple[float, float]


def _pixels(value: Json, key: str, side: float) -> float:
    return number(value.get(key), key) * side / 100


def _rectangle(value: Json, size: Size) -> Outline:
    x, y = _pixels(value, "x", size[0]), _pixels(value, "y", size[1])
    width, height = _pixels(value, "width", size[0]), _pixels(value, "height", size[1])
    if width < 0 or height < 0:
        raise Defect(f"its box is {width:g} × {height:g} pixels", "draw the region again")
    upright = geometry.rectangle(x, y, width, height)
    degrees = number(value.get("rotation") or 0, "rotation")
    return geometry.turned(upright, (x, y), degrees) if degrees % 360 else upright


def _ellipse(value: Json, size: Size) -> Outline:
    center = _pixels(value, "x", size[0]), _pixels(value, "y", size[1])
    radii = _pixels(value, "radiusX", size[0]), _pixels(value, "radiusY", size[1])
    if min(radii) < 0:
        raise Defect(f"its radii are {radii[0]:g} and {radii[1]:g} pixels", "draw the region again")
    degrees = number(value.get("rotation") or 0, "rotation")
    return geometry.ellipse(*center, *radii, degrees / geometry.DEGREES)


def _polygon(value: Json, size: Size) -> Outline:
    points = pairs(value.get("points"))
    xs, ys = ([point[axis] * size[axis] / 100 for point in points] for axis in (0, 1))
    return geometry.polygon(xs, ys)


OUTLINES = {"rectangle": _rectangle, "polygon": _polygon, "ellipse": _ellipse}
"""What makes the outline of a shape, in pixels of a picture of some size."""
