"""Read annotations of the VGG Image Annotator (VIA), versions 1.x and 2.x.

Three forms are read: the 1.x export (``regions`` is an object), the 2.x export (a list), and a
2.x project file, which holds an export under ``_via_img_metadata``. Coordinates are those of the
picture as a browser shows it, upright, with (0, 0) at the top left corner of its first pixel.
"""

from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from mmdet_jetson.contract.formats import IGNORE
from mmdet_jetson.stages.annotations import geometry, strict_json
from mmdet_jetson.stages.annotations.findings import Defect, Findings, LeftOut
from mmdet_jetson.stages.annotations.foreign import EXPORT_VIA
from mmdet_jetson.stages.annotations.records import (
    Labels,
    Outline,
    Record,
    Region,
    class_of,
)
from mmdet_jetson.stages.annotations.strict_json import number, numbers, texts

SUFFIX = ".json"


def read(path: Path, shown: str, labels: Labels, findings: Findings) -> List[Record]:
    """The pictures of a VIA file in its order; ``shown`` is the file's name in messages.

    Regions are numbered from 1, as VIA numbers them on the screen. A region with a defect is left
    out and goes to ``findings``.

    Raises:
        Defect: the file as a whole cannot be read as VIA.
    """
    content = strict_json.load(path)
    entries = _entries(content)
    reading = _Reading(shown, labels, _options(content, labels.attribute), findings)
    records = []
    for key, entry in entries.items():
        with findings.at(f'{shown}, entry "{key}"'):
            records.append(reading.record(entry))
    _check_list(content, entries, shown, findings)
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
        raise Defect(f"is a JSON {_kind(content)}, not a VIA export", EXPORT_VIA)
    if "metadata" in content and "project" in content:
        raise Defect("is a VIA 3 project; VIA 1.x and 2.x are read", EXPORT_VIA)
    if not any(_is_entry(entry) for entry in content.values()) and content:
        raise Defect("is JSON but not a VIA export: no entry has a file name", EXPORT_VIA)
    return content


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and "filename" in entry


def _kind(content: object) -> str:
    return {list: "list", str: "string", type(None): "null"}.get(type(content), "value")


def _options(content: object, attribute: str) -> Mapping[str, str]:
    """What a project file says the options of an attribute are called on the screen."""
    found = content
    for key in ("_via_attributes", "region", attribute, "options"):
        found = found.get(key) if isinstance(found, dict) else None
    options = found if isinstance(found, dict) else {}
    return {key: text for key, text in options.items() if isinstance(text, str) and text.strip()}


def _check_list(
    content: object, entries: Mapping[str, object], shown: str, findings: Findings
) -> None:
    """Warn where a project lists pictures that it has no entry for, which VIA shows as empty."""
    listed = content.get("_via_image_id_list") if isinstance(content, dict) else None
    for key in listed if isinstance(listed, list) else ():
        if not isinstance(key, str) or key not in entries:
            findings.warn("listed in _via_image_id_list, but has no entry", f"{shown}, {key}")


class _Reading:
    """One file being read; ``options`` say what the ids of the class attribute's options mean."""

    def __init__(
        self, shown: str, labels: Labels, options: Mapping[str, str], findings: Findings
    ) -> None:
        self.shown, self.labels, self.options, self.findings = shown, labels, options, findings

    def record(self, entry: object) -> Record:
        """Read the entry of a picture; what is wrong with a region goes to the findings."""
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(name, str) or not name.strip():
            raise Defect("has no file name", EXPORT_VIA)
        regions = []
        for index, raw in enumerate(_raw_regions(entry)):
            where = f"region {index + 1}"
            place = f"{self.shown}, {name}, {where}"
            with self.findings.at(place):
                region = self._region(raw, where, place)
                if region is not None:
                    regions.append(region)
        return Record(name, tuple(regions), keys=texts(entry.get("file_attributes")))

    def _region(self, raw: object, where: str, place: str) -> Optional[Region]:
        shape = raw.get("shape_attributes") if isinstance(raw, dict) else None
        if not isinstance(raw, dict) or not isinstance(shape, dict):
            raise Defect("the region has no shape", "delete the region or draw it again")
        attributes = raw.get("region_attributes")
        try:
            outline = _outline(shape)
        except Defect:
            # Of a class that is left out anyway, the shape does not matter.
            if self.labels.others != IGNORE or self._class(attributes, place) is not None:
                raise
            return None
        label = self._class(attributes, place)
        if label is None:
            return None
        if shape.get("name") == "polyline":
            self.findings.warn("an open polyline was closed to a polygon", place)
        return Region(where, label, (outline,))

    def _class(self, attributes: object, place: str) -> Optional[str]:
        """The class that a region's attributes name, None where it is to be left out."""
        value = _named(attributes, self.labels.attribute)
        if value is None and self.labels.default is not None:
            return self.labels.default
        if value is None:
            raise _unlabelled(attributes, self.labels.attribute)
        text = self._meant(value)
        try:
            return class_of(text, self.labels, self.findings, place)
        except Defect as defect:
            if not text.strip().isdigit():
                raise
            hint = (
                "a number is the id of an option of VIA's, and its project file says which: save "
                f'the project and name that, or set rename = {{ "{text}" = "..." }} in [dataset]'
            )
            raise Defect(defect.what, f"{hint}; {defect.hint}") from defect

    def _meant(self, value: str) -> str:
        """An option by its name on the screen, unless its id is the class."""
        option = self.options.get(value, self.options.get(value.strip()))
        if option is None or option.strip() == value.strip():
            return value
        known = [text for text in (value, option) if self._is_class(text)]
        if len(known) > 1:
            raise Defect(
                f'its class is the option "{value}", which the project calls "{option}", and both '
                "are classes",
                "rename one of the two in VIA, or with rename in [dataset]",
            )
        return known[0] if known else option

    def _is_class(self, text: str) -> bool:
        names = (text, text.strip())
        return any(name in self.labels.rename or name in self.labels.classes for name in names)


def _raw_regions(entry: Mapping[str, object]) -> List[object]:
    regions = entry.get("regions")
    if isinstance(regions, dict):
        return list(regions.values())
    if isinstance(regions, list):
        return regions
    raise Defect("has no list of regions", EXPORT_VIA)


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
    width, height = _length(shape, "width"), _length(shape, "height")
    return geometry.rectangle(x, y, width, height)


def _circle(shape: Mapping[str, object]) -> Outline:
    radius = _length(shape, "r")
    return geometry.ellipse(*_center(shape), radius, radius)


def _ellipse(shape: Mapping[str, object]) -> Outline:
    """VIA 2.x stores ``theta``, in radians; 1.x ellipses are upright."""
    rx, ry = _length(shape, "rx"), _length(shape, "ry")
    return geometry.ellipse(*_center(shape), rx, ry, number(shape.get("theta", 0), "theta"))


def _length(shape: Mapping[str, object], name: str) -> float:
    length = number(shape.get(name), name)
    if length <= 0:
        raise LeftOut(geometry.NO_AREA, "delete the region or draw it again")
    return length


def _center(shape: Mapping[str, object]) -> Tuple[float, float]:
    return number(shape.get("cx"), "cx"), number(shape.get("cy"), "cy")


_SHAPES: Dict[str, Callable[[Mapping[str, object]], Outline]] = {
    "polygon": _polygon,
    "polyline": _polygon,
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
}


def _named(attributes: object, attribute: str) -> Optional[str]:
    """What a region's attributes say under a name, None where that is nothing."""
    value = attributes.get(attribute) if isinstance(attributes, dict) else None
    named = _ticked(value) if isinstance(value, dict) else value
    if isinstance(named, (int, float)):
        named = str(named)
    if named is not None and not isinstance(named, str):
        raise Defect(f'the attribute "{attribute}" is not text', "label the region again")
    return named if named and named.strip() else None


def _ticked(boxes: Mapping[str, object]) -> Optional[str]:
    """The one ticked option of a checkbox attribute, None where none is."""
    ticked = [name for name, value in boxes.items() if value in (True, "true", 1)]
    if len(ticked) > 1:
        raise Defect(f"{len(ticked)} classes are ticked: {', '.join(ticked)}", "tick only one")
    return ticked[0] if ticked else None


def _unlabelled(attributes: object, attribute: str) -> Defect:
    attributes = attributes if isinstance(attributes, dict) else {}
    others = ", ".join(f'"{name}"' for name in attributes if name != attribute)
    hint = f"label_attribute may have to be one of {others}" if others else "label the region"
    return Defect(f'the region has no "{attribute}" attribute', f"{hint}, or set a default_class")
