"""Read labelme's annotations (versions 3 to 5): a folder of JSON files, one a picture, or one file.

Coordinates are those of the upright picture, with (0, 0) at the top left corner of its first
pixel; only the corners of a mask are pixels, the last one included.
"""

import base64
import binascii
import math
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmdet_jetson.stages.annotations import geometry, strict_json
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.grouped_shapes import Shape, grouped
from mmdet_jetson.stages.annotations.own_names import OwnNames, files_below
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.placed_masks import whole_mask
from mmdet_jetson.stages.annotations.records import (
    Labels,
    Outline,
    Point,
    Record,
    Region,
)
from mmdet_jetson.stages.annotations.strict_json import number, pairs, positive, texts

SUFFIX = ".json"
PER_PICTURE = True

_HINT = "save the annotations with labelme again"
_NO_AREA = ("point", "points", "line", "linestrip")

_Mask = Mapping[str, object]
_Json = Mapping[str, object]


def read(
    path: Path, shown: str, labels: Labels, findings: Findings, pictures: Optional[Path] = None
) -> List[Record]:
    """The pictures of the JSON files; ``shown`` is the folder's name in messages.

    Shapes of one class with the same group id are one object, as labelme's own converters have it.

    Raises:
        Defect: there are none, or a file by itself is not labelme's.
    """
    names, everywhere = OwnNames(pictures), Place(shown, labels, findings)
    if not path.is_dir():
        return [_record(_content(path), path.name, names, everywhere)]
    records = []
    for file, name in files_below(path, SUFFIX):
        place = replace(everywhere, shown=f"{shown}/{name}")
        with place.checked():
            records.append(_record(_content(file), name, names, place))
    return records


def recognises(path: Path) -> bool:
    """Whether a file, or the first of a folder's, is one of labelme's."""
    try:
        return "shapes" in _content(files_below(path, SUFFIX)[0][0])
    except Defect:
        return False


def _content(path: Path) -> Mapping[str, object]:
    content = strict_json.load(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise Defect(
            'is JSON but not labelme\'s: it has no list "shapes"',
            f"{_HINT}, or move it out of the folder",
        )
    return content


def _record(content: _Json, file: str, names: OwnNames, place: Place) -> Record:
    stated = content.get("imagePath")
    if stated is not None and not isinstance(stated, str):
        raise Defect("its imagePath is not text", _HINT)
    name = names.beside(stated, file, place)
    size = _size(content)
    raw_shapes = content["shapes"]
    listed = enumerate(raw_shapes if isinstance(raw_shapes, list) else [])
    numbered = [(f"shape {index + 1}", raw) for index, raw in listed]
    shapes = place.each(numbered, lambda raw, inside: _shape(raw, size, inside))
    regions = grouped(shapes, place, "group_id")
    keys = texts(content.get("flags"))
    return Record(name, tuple(regions), size, keys=keys, upright=True)


def _size(content: Mapping[str, object]) -> Optional[Tuple[int, int]]:
    sides = (content.get("imageWidth"), content.get("imageHeight"))
    if sides == (None, None):
        return None
    width, height = (positive(side, key) for side, key in zip(sides, ("imageWidth", "imageHeight")))
    return int(width), int(height)


def _shape(raw: object, size: Optional[Tuple[int, int]], place: Place) -> Optional[Shape]:
    if not isinstance(raw, dict):
        raise Defect("the shape is not an object of JSON", _HINT)
    label = raw.get("label")
    if not isinstance(label, str) or not label.strip():
        raise Defect("the shape has no label", "label it in labelme, or remove it")
    # Before shapes had types, all were polygons.
    kind = raw.get("shape_type") or "polygon"
    if kind in _NO_AREA:
        place.warn(f"left out, as its type {kind} has no area")
        return None
    named = place.class_of(label)
    points = pairs(raw.get("points"))
    outlines: Tuple[Outline, ...] = ()
    mask = None
    if kind == "mask":
        mask = _mask(raw.get("mask"), points, size)
    elif isinstance(kind, str) and kind in _OUTLINES:
        outlines = (_OUTLINES[kind](points),)
    else:
        known = ", ".join([*_OUTLINES, "mask"])
        raise Defect(f'the shape type "{str(kind)[:40]}" is not known', f"use one of: {known}")
    group = raw.get("group_id")
    if not isinstance(group, (int, str, type(None))):
        raise Defect("its group_id is neither a number nor text", _HINT)
    if named is None:
        return None
    # By how it is written: 1 and "1" are two groups.
    region = Region(place.where, named, outlines, mask)
    return Shape(region, None if group is None else repr(group))


def _polygon(points: Sequence[Point]) -> Outline:
    return geometry.polygon([x for x, _ in points], [y for _, y in points])


def _rectangle(points: Sequence[Point]) -> Outline:
    """Two opposite corners, or all four, as X-AnyLabeling writes them."""
    if len(points) == 4:
        return _polygon(points)
    (x1, y1), (x2, y2) = _two(points, "rectangle")
    return geometry.rectangle(min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1))


def _circle(points: Sequence[Point]) -> Outline:
    """The centre, and a point on the circle."""
    (cx, cy), (x, y) = _two(points, "circle")
    radius = positive(math.hypot(x - cx, y - cy), "the circle's radius")
    return geometry.ellipse(cx, cy, radius, radius)


def _two(points: Sequence[Point], kind: str) -> Sequence[Point]:
    if len(points) != 2:
        raise Defect(f"the {kind} has {len(points)} points, not 2", "draw the shape again")
    return points


_OUTLINES: Dict[str, Callable[[Sequence[Point]], Outline]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "rotation": _polygon,  # X-AnyLabeling's turned rectangle: its four corners
}


def _mask(raw: object, points: Sequence[Point], size: Optional[Tuple[int, int]]) -> _Mask:
    """A PNG of the part of the picture between two pixels."""
    if size is None:
        raise Defect("its mask has no picture size (imageWidth, imageHeight)", _HINT)
    (x1, y1), (x2, y2) = _two(points, "mask")
    part = _png(raw)
    left, top = int(number(x1, "x")), int(number(y1, "y"))
    across, down = int(x2) - left + 1, int(y2) - top + 1
    if part.shape != (down, across):
        raise Defect(
            f"its mask has {part.shape[1]} × {part.shape[0]} pixels, its points span "
            f"{across} × {down}",
            _HINT,
        )
    return whole_mask(part, (left, top), size)


def _png(raw: object) -> np.ndarray:
    if not isinstance(raw, str):
        raise Defect("its mask is missing", _HINT)
    try:
        data = np.frombuffer(base64.b64decode(raw, validate=True), np.uint8)
        part = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (binascii.Error, ValueError, cv2.error):
        part = None
    if part is None or part.ndim != 2:
        raise Defect("its mask is not a grey PNG in base64", _HINT)
    result: np.ndarray = part
    return result
