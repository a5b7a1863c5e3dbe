"""Read and write COCO detection annotations.

Coordinates are those of the upright picture, with (0, 0) at the top left corner of its first
pixel, and so are the stated widths and heights.
"""

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations import geometry, strict_json
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.records import (
    Example,
    Extent,
    Outline,
    Record,
    Region,
    known_class,
)
from mmdet_jetson.stages.annotations.strict_json import number, numbers, positive

_EXPORT_HINT = "export the annotations in COCO's instances format"
_MASK_HINT = "export the mask again, or as polygons"
_SECTIONS = ("images", "annotations", "categories")

# pycocotools' text form of a run-length mask: characters 48 to 111, of which those from 80 on say
# that the number goes on; pycocotools reads past the end of a text that stops with such a one.
_COUNTS = re.compile(r"[0-o]*[0-O]")

_Items = Dict[Any, Dict[str, Any]]


def read_coco(path: Path, shown: str, classes: Sequence[str], findings: Findings) -> List[Record]:
    """The pictures of a COCO file in its order; ``shown`` is the file's name in messages.

    A shape comes from the polygons or the run-length mask of ``segmentation``, else from ``bbox``.
    An annotation with a defect is left out and goes to ``findings``. A category that no annotation
    uses need not be one of the classes.

    Raises:
        Defect: the file as a whole cannot be read as COCO.
    """
    content = strict_json.load(path)
    _check_sections(content)
    images, annotations, categories = (
        _by_id(content[section], f"{shown}, {section}", findings) for section in _SECTIONS
    )
    labels = _labels(categories, annotations, classes, shown, findings)
    regions: Dict[Any, List[Region]] = {identifier: [] for identifier in images}
    for identifier, raw in annotations.items():
        where = f"annotation {identifier}"
        with findings.at(f"{shown}, {_picture(raw, images)}{where}"):
            image, category = (
                _known(raw, "image_id", images),
                _known(raw, "category_id", categories),
            )
            if category in labels:
                regions[image].append(_region(raw, where, labels[category]))
    return _records(images, regions, shown, findings)


def _check_sections(content: Any) -> None:
    if not isinstance(content, dict):
        raise Defect("is JSON but not a COCO file", _EXPORT_HINT)
    if "_via_img_metadata" in content or _looks_like_via(content):
        raise Defect("is a VIA file, not a COCO file", 'set the dataset\'s format to "via"')
    for section in _SECTIONS:
        if not isinstance(content.get(section), list):
            raise Defect(f'is not a COCO file: it has no list "{section}"', _EXPORT_HINT)


def _looks_like_via(content: Mapping[str, Any]) -> bool:
    return any(isinstance(entry, dict) and "filename" in entry for entry in content.values())


def _by_id(items: List[Any], where: str, findings: Findings) -> _Items:
    found: _Items = {}
    for index, item in enumerate(items):
        identifier = item.get("id") if isinstance(item, dict) else None
        if not isinstance(identifier, (int, str)):
            findings.defect(f"{where}[{index}]", "has no id", _EXPORT_HINT)
        elif identifier in found:
            findings.defect(f"{where}[{index}]", f"has the id {identifier} again", _EXPORT_HINT)
        else:
            found[identifier] = item
    return found


def _labels(
    categories: _Items,
    annotations: _Items,
    classes: Sequence[str],
    shown: str,
    findings: Findings,
) -> Dict[Any, str]:
    """The class of each category that an annotation uses."""
    used = {raw.get("category_id") for raw in annotations.values() if _has_id(raw, "category_id")}
    labels: Dict[Any, str] = {}
    for identifier, category in categories.items():
        if identifier not in used:
            continue
        with findings.at(f"{shown}, category {identifier}"):
            label = known_class(str(category.get("name")), classes)
            if label in labels.values():
                raise Defect(f'has the name "{label}", as another has', "give each its own name")
            labels[identifier] = label
    return labels


def _has_id(raw: Mapping[str, Any], key: str) -> bool:
    return isinstance(raw.get(key), (int, str))


def _picture(raw: Mapping[str, Any], images: _Items) -> str:
    image = images.get(raw["image_id"], {}) if _has_id(raw, "image_id") else {}
    return f"{image['file_name']}, " if "file_name" in image else ""


def _known(raw: Mapping[str, Any], key: str, items: _Items) -> Any:
    if not _has_id(raw, key) or raw[key] not in items:
        raise Defect(f"its {key} {raw.get(key)} does not exist", "remove it or correct the id")
    return raw[key]


def _region(raw: Mapping[str, Any], where: str, label: str) -> Region:
    crowd = bool(raw.get("iscrowd", 0))
    segmentation = raw.get("segmentation")
    if isinstance(segmentation, dict):
        return Region(where, label, mask=segmentation, crowd=crowd)
    if segmentation:
        return Region(where, label, _polygons(segmentation), crowd=crowd)
    return Region(where, label, (_box(raw.get("bbox")),), crowd=crowd)


def _polygons(segmentation: Any) -> Tuple[Outline, ...]:
    if not isinstance(segmentation, list):
        raise Defect("its segmentation is neither polygons nor a mask", _EXPORT_HINT)
    rings = [numbers(ring, f"segmentation[{index}]") for index, ring in enumerate(segmentation)]
    return tuple(geometry.polygon(ring[0::2], ring[1::2]) for ring in rings)


def _box(box: Any) -> Outline:
    values = numbers(box, "bbox")
    if len(values) != 4:
        raise Defect(f"its bbox has {len(values)} numbers, not 4", "give x, y, width, height")
    x, y, width, height = values
    return geometry.rectangle(
        x, y, positive(width, "the bbox's width"), positive(height, "the bbox's height")
    )


def _records(
    images: _Items, regions: Mapping[Any, List[Region]], shown: str, findings: Findings
) -> List[Record]:
    records = []
    for identifier, image in images.items():
        with findings.at(f"{shown}, image {identifier}"):
            name = image.get("file_name")
            if not isinstance(name, str):
                raise Defect("has no file_name", _EXPORT_HINT)
            records.append(Record(name, tuple(regions[identifier]), _size(image)))
    return records


def _size(image: Mapping[str, Any]) -> Optional[Tuple[int, int]]:
    if "width" not in image and "height" not in image:
        return None
    width, height = (number(image.get(side), side) for side in ("width", "height"))
    return int(width), int(height)


def mask_extent(mask: Mapping[str, Any], width: int, height: int) -> Extent:
    """Box and area of a run-length mask of a picture of that size, by pycocotools.

    Raises:
        Defect: the mask belongs to a picture of another size, is broken or is empty.
    """
    if mask.get("size") != [height, width]:
        raise Defect(
            f"its mask has the size {mask.get('size')}, the picture is [{height}, {width}]",
            _MASK_HINT,
        )
    encoded = _encoded(mask.get("counts"), width, height)
    area = float(coco_mask.area(encoded))
    x, y, box_width, box_height = (float(value) for value in coco_mask.toBbox(encoded))
    inside = x + box_width <= width and y + box_height <= height
    if area == 0 or not inside or area > box_width * box_height:
        raise Defect("its mask is empty or broken", _MASK_HINT)
    return Extent(dict(mask), (x, y, box_width, box_height), area)


def _encoded(counts: Any, width: int, height: int) -> Dict[str, Any]:
    """The mask in pycocotools' compressed form, from its compressed or plain run lengths."""
    size = [height, width]
    if isinstance(counts, str) and _COUNTS.fullmatch(counts):
        return {"size": size, "counts": counts.encode("ascii")}
    if _are_runs(counts) and sum(counts) == width * height:
        plain = {"size": size, "counts": counts}
        encoded: Dict[str, Any] = coco_mask.frPyObjects(plain, height, width)
        return encoded
    raise Defect("the run lengths of its mask do not fit the picture", _MASK_HINT)


def _are_runs(counts: Any) -> bool:
    return isinstance(counts, list) and all(type(run) is int and run >= 0 for run in counts)


def to_coco(examples: Sequence[Example], classes: Sequence[str]) -> Dict[str, Any]:
    """A split as COCO's instances format; ids count from 1, those of classes in their order."""
    category_ids = {name: index for index, name in enumerate(classes, 1)}
    annotations: List[Dict[str, Any]] = []
    for image_id, example in enumerate(examples, 1):
        for annotation in example.annotations:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_ids[annotation.label],
                    "bbox": list(annotation.extent.box),
                    "area": annotation.extent.area,
                    "segmentation": annotation.extent.segmentation,
                    "iscrowd": int(annotation.crowd),
                }
            )
    images = [
        {"id": index, "file_name": example.name, "width": example.width, "height": example.height}
        for index, example in enumerate(examples, 1)
    ]
    categories = [{"id": index, "name": name} for name, index in category_ids.items()]
    # pycocotools' print of a file's origin fails where "info" is absent.
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}
