"""Read COCO detection annotations.

Coordinates are those of the upright picture, with (0, 0) at the top left corner of its first
pixel, and so are the stated widths and heights.
"""

from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple, Union

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

_EXPORT_HINT = "export the annotations in COCO's instances format"
_SECTIONS = ("images", "annotations", "categories")

_Id = Union[int, str]
_Items = Dict[_Id, Mapping[str, object]]


def read(path: Path, shown: str, labels: Labels, findings: Findings) -> List[Record]:
    """The pictures of a COCO file in its order; ``shown`` is the file's name in messages.

    A shape comes from the polygons or the run-length mask of ``segmentation``, else from ``bbox``.
    An annotation with a defect is left out and goes to ``findings``. A category that no annotation
    uses need not be one of the classes.

    Raises:
        Defect: the file as a whole cannot be read as COCO.
    """
    sections = _sections(strict_json.load(path))
    images, annotations, categories = (
        _by_id(sections[section], f"{shown}, {section}", findings) for section in _SECTIONS
    )
    names = _class_names(categories, annotations, findings, shown)
    regions: Dict[_Id, List[Region]] = {identifier: [] for identifier in images}
    for identifier, raw in annotations.items():
        where = f"annotation {identifier}"
        place = f"{shown}, {_picture(raw, images)}{where}"
        with findings.at(place):
            image = _known(raw, "image_id", images)
            category = _known(raw, "category_id", categories)
            name = names.get(category)
            label = None if name is None else class_of(name, labels, findings, place)
            if label is not None:
                regions[image].append(_region(raw, where, label))
    return _records(images, regions, shown, findings)


def recognises(path: Path) -> bool:
    """Whether a file is one of COCO's."""
    try:
        content = strict_json.load(path)
    except Defect:
        return False
    return isinstance(content, dict) and "images" in content and "annotations" in content


def _sections(content: object) -> Dict[str, List[object]]:
    if not isinstance(content, dict):
        raise Defect("is JSON but not a COCO file", _EXPORT_HINT)
    for section in _SECTIONS:
        if not isinstance(content.get(section), list):
            raise Defect(f'is not a COCO file: it has no list "{section}"', _EXPORT_HINT)
    return content


def _by_id(items: List[object], where: str, findings: Findings) -> _Items:
    found: _Items = {}
    for index, item in enumerate(items):
        identifier = item.get("id") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(identifier, (int, str)):
            findings.defect(f"{where}[{index}]", "has no id", _EXPORT_HINT)
        elif identifier in found:
            findings.defect(f"{where}[{index}]", f"has the id {identifier} again", _EXPORT_HINT)
        else:
            found[identifier] = item
    return found


def _class_names(
    categories: _Items, annotations: _Items, findings: Findings, shown: str
) -> Dict[_Id, str]:
    """The name of each category that an annotation uses."""
    used = {_id(raw, "category_id") for raw in annotations.values()}
    names: Dict[_Id, str] = {}
    for identifier, category in categories.items():
        if identifier not in used:
            continue
        with findings.at(f"{shown}, category {identifier}"):
            name = str(category.get("name"))
            if name in names.values():
                raise Defect(f'has the name "{name}", as another has', "give each its own name")
            names[identifier] = name
    return names


def _id(raw: Mapping[str, object], key: str) -> Optional[_Id]:
    """An id, None where there is nothing that could be one."""
    identifier = raw.get(key)
    return identifier if isinstance(identifier, (int, str)) else None


def _picture(raw: Mapping[str, object], images: _Items) -> str:
    identifier = _id(raw, "image_id")
    image = {} if identifier is None else images.get(identifier, {})
    return f"{image['file_name']}, " if "file_name" in image else ""


def _known(raw: Mapping[str, object], key: str, items: _Items) -> _Id:
    identifier = _id(raw, key)
    if identifier is None or identifier not in items:
        raise Defect(f"its {key} {raw.get(key)} does not exist", "remove it or correct the id")
    return identifier


def _region(raw: Mapping[str, object], where: str, label: str) -> Region:
    crowd = bool(raw.get("iscrowd", 0))
    segmentation = raw.get("segmentation")
    if isinstance(segmentation, dict):
        return Region(where, label, mask=segmentation, crowd=crowd)
    if segmentation:
        return Region(where, label, _polygons(segmentation), crowd=crowd)
    return Region(where, label, (_box(raw.get("bbox")),), crowd=crowd)


def _polygons(segmentation: object) -> Tuple[Outline, ...]:
    if not isinstance(segmentation, list):
        raise Defect("its segmentation is neither polygons nor a mask", _EXPORT_HINT)
    rings = [numbers(ring, f"segmentation[{index}]") for index, ring in enumerate(segmentation)]
    return tuple(geometry.polygon(ring[0::2], ring[1::2]) for ring in rings)


def _box(box: object) -> Outline:
    values = numbers(box, "bbox")
    if len(values) != 4:
        raise Defect(f"its bbox has {len(values)} numbers, not 4", "give x, y, width, height")
    x, y, width, height = values
    return geometry.rectangle(
        x, y, positive(width, "the bbox's width"), positive(height, "the bbox's height")
    )


def _records(
    images: _Items, regions: Mapping[_Id, List[Region]], shown: str, findings: Findings
) -> List[Record]:
    records = []
    for identifier, image in images.items():
        with findings.at(f"{shown}, image {identifier}"):
            name = image.get("file_name")
            if not isinstance(name, str):
                raise Defect("has no file_name", _EXPORT_HINT)
            records.append(Record(name, tuple(regions[identifier]), _size(image)))
    return records


def _size(image: Mapping[str, object]) -> Optional[Tuple[int, int]]:
    if "width" not in image and "height" not in image:
        return None
    width, height = (number(image.get(side), side) for side in ("width", "height"))
    return int(width), int(height)
