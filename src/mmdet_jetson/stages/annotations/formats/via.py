"""Read annotations of the VGG Image Annotator (VIA), versions 1.x and 2.x.

Three forms are read: the 1.x export (``regions`` is an object), the 2.x export (a list), and a
2.x project file, which holds an export under ``_via_img_metadata``. Coordinates are those of the
picture as a browser shows it, upright, with (0, 0) at the top left corner of its first pixel.
"""

from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from mmdet_jetson.stages.annotations import geometry, strict_json
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.records import (
    Labels,
    Outline,
    Record,
    Region,
    class_of,
)
from mmdet_jetson.stages.annotations.strict_json import number, numbers, positive

SUFFIX = ".json"

_EXPORT_HINT = "in VIA 2 choose Annotation > Export Annotations (as json)"


def read(path: Path, shown: str, labels: Labels, findings: Findings) -> List[Record]:
    """The pictures of a VIA file in its order; ``shown`` is the file's name in messages.

    Regions are numbered from 1, as VIA numbers them on the screen. A region with a defect is left
    out and goes to ``findings``.

    Raises:
        Defect: the file as a whole cannot be read as VIA.
    """
    entries = _entries(strict_json.load(path))
    records = []
    for key, entry in entries.items():
        with findings.at(f'{shown}, entry "{key}"'):
            records.append(_record(entry, shown, labels, findings))
    return records


def recognises(path: Path) -> bool:
    """Whether a file is one of VIA's."""
    try:
        content = strict_json.load(path)
    except Defect:
        return False
    if not isinstance(content, dict):
        return False
    return "_via_img_metadata" in content or any(map(_is_entry, content.values()))


def _entries(content: object) -> Dict[str, object]:
    """The mapping from VIA's picture key to its entry."""
    if isinstance(content, dict) and "_via_img_metadata" in content:
        content = content["_via_img_metadata"]
    if not isinstance(content, dict):
        raise Defect(f"is a JSON {_kind(content)}, not a VIA export", _EXPORT_HINT)
    if "metadata" in content and "project" in content:
        raise Defect("is a VIA 3 project; VIA 1.x and 2.x are read", _EXPORT_HINT)
    if not any(_is_entry(entry) for entry in content.values()) and content:
        raise Defect("is JSON but not a VIA export: no entry has a file name", _EXPORT_HINT)
    return content


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and "filename" in entry


def _kind(content: object) -> str:
    return {list: "list", str: "string", type(None): "null"}.get(type(content), "value")


def _record(entry: object, shown: str, labels: Labels, findings: Findings) -> Record:
    name = entry.get("filename") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(name, str):
        raise Defect("has no file name", _EXPORT_HINT)
    regions = []
    for index, raw in enumerate(_raw_regions(entry)):
        where = f"region {index + 1}"
        with findings.at(f"{shown}, {name}, {where}"):
            region = _region(raw, where, f"{shown}, {name}", labels, findings)
            if region is not None:
                regions.append(region)
    return Record(name, tuple(regions))


def _raw_regions(entry: Mapping[str, object]) -> List[object]:
    regions = entry.get("regions")
    if isinstance(regions, dict):
        return list(regions.values())
    if isinstance(regions, list):
        return regions
    raise Defect("has no list of regions", _EXPORT_HINT)


def _region(
    raw: object, where: str, picture: str, labels: Labels, findings: Findings
) -> Optional[Region]:
    shape = raw.get("shape_attributes") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(shape, dict):
        raise Defect("the region has no shape", "delete the region or draw it again")
    name = shape.get("name")
    outline = _outline(shape)
    if name == "polyline":
        findings.warn("an open polyline was closed to a polygon", f"{picture}, {where}")
    text = _label(raw.get("region_attributes"), labels)
    label = class_of(text, labels, findings, f"{picture}, {where}")
    return None if label is None else Region(where, label, (outline,))


def _outline(shape: Mapping[str, object]) -> Outline:
    """The shape as a polygon.

    A polyline counts as the closed polygon through its points: people trace objects with it, and
    the box around it is the same.
    """
    name = shape.get("name")
    reader = _SHAPES.get(name) if isinstance(name, str) else None
    if reader is None:
        known = ", ".join(_SHAPES)
        raise Defect(f'the shape "{name}" has no area', f"use one of the shapes {known}")
    return reader(shape)


def _polygon(shape: Mapping[str, object]) -> Outline:
    xs = numbers(shape.get("all_points_x"), "all_points_x")
    return geometry.polygon(xs, numbers(shape.get("all_points_y"), "all_points_y"))


def _rect(shape: Mapping[str, object]) -> Outline:
    x, y = number(shape.get("x"), "x"), number(shape.get("y"), "y")
    width, height = positive(shape.get("width"), "width"), positive(shape.get("height"), "height")
    return geometry.rectangle(x, y, width, height)


def _circle(shape: Mapping[str, object]) -> Outline:
    radius = positive(shape.get("r"), "r")
    return geometry.ellipse(*_center(shape), radius, radius)


def _ellipse(shape: Mapping[str, object]) -> Outline:
    """VIA 2.x stores ``theta``, in radians; 1.x ellipses are upright."""
    rx, ry = positive(shape.get("rx"), "rx"), positive(shape.get("ry"), "ry")
    return geometry.ellipse(*_center(shape), rx, ry, number(shape.get("theta", 0), "theta"))


def _center(shape: Mapping[str, object]) -> Tuple[float, float]:
    return number(shape.get("cx"), "cx"), number(shape.get("cy"), "cy")


_SHAPES: Dict[str, Callable[[Mapping[str, object]], Outline]] = {
    "polygon": _polygon,
    "polyline": _polygon,
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
}


def _label(attributes: object, labels: Labels) -> str:
    """The class a region's attributes name, else the default class."""
    attributes = attributes if isinstance(attributes, dict) else {}
    value = attributes.get(labels.attribute)
    named = _ticked(value) if isinstance(value, dict) else value
    if isinstance(named, (int, float)):
        named = str(named)
    if named is not None and not isinstance(named, str):
        raise Defect(f'the attribute "{labels.attribute}" is not text', "label the region again")
    if named and named.strip():
        return named
    if labels.default is not None:
        return labels.default
    raise _unlabelled(attributes, labels.attribute)


def _ticked(boxes: Mapping[str, object]) -> Optional[str]:
    """The one ticked option of a checkbox attribute, None where none is."""
    ticked = [name for name, value in boxes.items() if value in (True, "true", 1)]
    if len(ticked) > 1:
        raise Defect(f"{len(ticked)} classes are ticked: {', '.join(ticked)}", "tick only one")
    return ticked[0] if ticked else None


def _unlabelled(attributes: Mapping[str, object], attribute: str) -> Defect:
    others = ", ".join(f'"{name}"' for name in attributes if name != attribute)
    hint = f"label_attribute may have to be one of {others}" if others else "label the region"
    return Defect(f'the region has no "{attribute}" attribute', f"{hint}, or set a default_class")
