"""Read Datumaro's own JSON, as Datumaro and CVAT export it.

Coordinates are those of the upright picture, with (0, 0) at the top left corner of its first
pixel. Masks are COCO's run lengths. ``attributes.rotation``, which CVAT puts there, turns a box
around its centre by degrees, clockwise; Datumaro itself leaves the box as it was before.
"""

from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

from mmdet_jetson.stages.annotations import geometry, strict_json
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.grouped_shapes import Shape, grouped
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.records import Labels, Outline, Record, Region
from mmdet_jetson.stages.annotations.strict_json import number, numbers, texts

SUFFIX = ".json"

_HINT = "export the dataset in the format Datumaro"
_NO_AREA = ("label", "points", "polyline", "caption", "cuboid_3d", "skeleton", "tabular")
_WITH_AREA = ("bbox", "polygon", "ellipse", "mask")

_Json = Mapping[str, object]


def read(path: Path, shown: str, labels: Labels, findings: Findings) -> List[Record]:
    """The pictures of a Datumaro file in its order; ``shown`` is its name in messages.

    Polygons of one class in the same group are one object, as Datumaro's COCO exporter has it.

    Raises:
        Defect: the file as a whole cannot be read as Datumaro's.
    """
    content = _content(path)
    classes = _classes(content)
    place = Place(shown, labels, findings)
    items = content["items"]
    listed = enumerate(items if isinstance(items, list) else [])
    numbered = [(f"items[{index}]", item) for index, item in listed]
    return place.each(numbered, lambda item, _: _record(item, classes, place))


def recognises(path: Path) -> bool:
    """Whether a file is one of Datumaro's."""
    try:
        return "items" in _content(path)
    except Defect:
        return False


def _content(path: Path) -> _Json:
    content = strict_json.load(path)
    if not isinstance(content, dict) or not isinstance(content.get("items"), list):
        raise Defect('is JSON but not Datumaro\'s: it has no list "items"', _HINT)
    if not isinstance(content.get("categories"), dict):
        raise Defect('is JSON but not Datumaro\'s: it has no object "categories"', _HINT)
    return content


def _classes(content: _Json) -> List[object]:
    categories = content["categories"]
    label = categories.get("label") if isinstance(categories, dict) else None
    listed = label.get("labels") if isinstance(label, dict) else None
    if not isinstance(listed, list):
        raise Defect("has no list categories.label.labels", _HINT)
    return [item.get("name") if isinstance(item, dict) else None for item in listed]


def _record(item: object, classes: Sequence[object], file: Place) -> Record:
    if not isinstance(item, dict) or not isinstance(item.get("annotations"), list):
        raise Defect("has no list of annotations", _HINT)
    name, size = _name(item), _size(item)
    picture = file.inside(name)
    numbered = [(f"annotation {i + 1}", raw) for i, raw in enumerate(item["annotations"])]
    shapes = picture.each(numbered, lambda raw, place: _shape(raw, classes, place))
    regions = grouped(shapes, picture, "group")
    _warn_of_boxes(shapes, picture)
    return Record(name, tuple(regions), size, keys=texts(item.get("attr")))


def _name(item: _Json) -> str:
    """The picture's path, else the item's id, which is a name without a suffix."""
    image = item.get("image")
    path = image.get("path") if isinstance(image, dict) else None
    name = path or item.get("id")
    if not isinstance(name, str) or not name:
        raise Defect("names no picture", _HINT)
    return name


def _size(item: _Json) -> Optional[Tuple[int, int]]:
    image = item.get("image")
    size = image.get("size") if isinstance(image, dict) else None
    if size is None:
        return None
    values = numbers(size, "size")
    if len(values) != 2 or min(values) <= 0:
        raise Defect("its size is not a height and a width", _HINT)
    return int(values[1]), int(values[0])


def _shape(raw: object, classes: Sequence[object], place: Place) -> Optional[Shape]:
    if not isinstance(raw, dict):
        raise Defect("the annotation is not an object of JSON", _HINT)
    kind = raw.get("type")
    if kind in _NO_AREA:
        place.warn(f"left out, as its type {kind} has no area")
        return None
    if kind not in _WITH_AREA:
        raise Defect(f'the type "{str(kind)[:40]}" is not known', f"use {', '.join(_WITH_AREA)}")
    label = place.class_of(_class(raw.get("label_id"), classes))
    mask = _mask(raw.get("rle")) if kind == "mask" else None
    outlines = () if kind == "mask" else (_outline(raw, place),)
    attributes = raw.get("attributes")
    crowd = isinstance(attributes, dict) and attributes.get("is_crowd") is True
    group = raw.get("group", 0)
    if not isinstance(group, (int, str, type(None))):
        raise Defect("its group is not a number", _HINT)
    if label is None:
        return None
    region = Region(place.where, label, outlines, mask, crowd)
    # Boxes of a group are objects that belong together, polygons parts of one.
    return Shape(region, None if group == 0 else group, alone=kind == "bbox")


def _class(index: object, classes: Sequence[object]) -> str:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(classes):
        raise Defect(f"its label_id {str(index)[:40]} is none of the labels", _HINT)
    name = classes[index]
    if not isinstance(name, str):
        raise Defect(f"the label {index} has no name", _HINT)
    return name


def _mask(rle: object) -> _Json:
    if not isinstance(rle, dict):
        raise Defect("its mask has no run lengths", _HINT)
    return {"size": rle.get("size"), "counts": rle.get("counts")}


def _outline(raw: _Json, place: Place) -> Outline:
    if raw["type"] == "bbox":
        return _box(raw, place)
    values = numbers(raw.get("points"), "points")
    if raw["type"] == "polygon":
        return geometry.polygon(values[0::2], values[1::2])
    if len(values) != 4 or values[2] < values[0] or values[3] < values[1]:
        raise Defect("the ellipse is not two corners of the box around it", _HINT)
    left, top, right, bottom = values
    center = (left + right) / 2, (top + bottom) / 2
    return geometry.ellipse(*center, (right - left) / 2, (bottom - top) / 2)


def _box(raw: _Json, place: Place) -> Outline:
    values = numbers(raw.get("bbox"), "bbox")
    if len(values) != 4 or min(values[2:]) < 0:
        raise Defect("its bbox is not x, y, width and height", _HINT)
    x, y, width, height = values
    upright = geometry.rectangle(x, y, width, height)
    attributes = raw.get("attributes")
    given = attributes.get("rotation", 0) if isinstance(attributes, dict) else 0
    degrees = number(given, "rotation")
    if not degrees % 360:
        return upright
    place.warn("a rotated box was read as its four corners")
    return geometry.turned(upright, (x + width / 2, y + height / 2), degrees)


def _warn_of_boxes(shapes: Sequence[Shape], picture: Place) -> None:
    """Warn where a box shares its group with a polygon or mask, and may be the same object."""
    drawn = {(shape.region.label, shape.group) for shape in shapes if not shape.alone}
    for shape in shapes:
        region, group = shape.region, shape.group
        if shape.alone and group is not None and (region.label, group) in drawn:
            picture.inside(region.where).warn(
                "a box and another shape of the same group were read as two objects"
            )
