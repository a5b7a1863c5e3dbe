"""Annotation files of formats that are not read, so that one can be named for what it is."""

import os
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Tuple

from mmdet_jetson.stages.annotations import strict_json
from mmdet_jetson.stages.annotations.findings import Defect

_CONVERT = "export the annotations in one of the formats that are read (docs/tutorial.md)"
_VIA_TABLE = "a VIA export as CSV"
EXPORT_VIA = "in VIA 2 choose Annotation > Export Annotations (as json)"
_HEAD = 4096


def foreign_format(path: Path) -> Optional[str]:
    """What a file is called that is in no format that is read, None where that is not known."""
    if path.is_dir():
        return _folder(path)
    head = _head(path)
    return _table(head) or _lines(head) or _binary(path) or _json(path)


def _head(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD).decode("utf-8-sig", "ignore")
    except OSError:
        return ""


def _folder(path: Path) -> Optional[str]:
    names = {name for _, _, files in os.walk(path) for name in files[:100]}
    if any(".tfrecord" in name for name in names):
        return "a folder of TFRecord files"
    if "meta.json" in names and any(name.endswith((".jpg.json", ".png.json")) for name in names):
        return "a Supervisely project"
    return None


def _table(head: str) -> Optional[str]:
    """Tables in text, by their first line."""
    first = head.split("\n", 1)[0].strip().lower().replace('"', "")
    columns = [column.strip() for column in first.split(",")]
    if "region_shape_attributes" in columns:
        return _VIA_TABLE
    if {"filename", "class", "xmin", "ymin", "xmax", "ymax"} <= set(columns):
        return "a TensorFlow Object Detection CSV"
    if {"imageid", "labelname", "xmin", "xmax"} <= set(columns):
        return "an Open Images CSV"
    return "a CSV file" if len(columns) > 3 and not first.startswith(("{", "[", "<")) else None


def _lines(head: str) -> Optional[str]:
    """JSON a line."""
    first = head.split("\n", 1)[0]
    if first.startswith("{") and '"data_row"' in head and '"projects"' in head:
        return "a Labelbox export (NDJSON)"
    if first.startswith("{") and ('"source-ref"' in first or '"bounding-box"' in first):
        return "an Amazon SageMaker manifest"
    return None


def _binary(path: Path) -> Optional[str]:
    return "a TFRecord file" if ".tfrecord" in path.name or path.suffix == ".record" else None


def _json(path: Path) -> Optional[str]:
    try:
        content = strict_json.load(path)
    except Defect:
        return None
    first = content[0] if isinstance(content, list) and content else content
    for name, matches in _KINDS:
        if isinstance(first, dict) and matches(first):
            return name
    return None


def _first(content: Mapping[str, object], key: str) -> Mapping[str, object]:
    """The first object of a list."""
    items = content.get(key)
    first = items[0] if isinstance(items, list) and items else None
    return first if isinstance(first, dict) else {}


_KINDS: List[Tuple[str, Callable[[Mapping[str, object]], bool]]] = [
    ("a COCO results file (detections, no annotations)", lambda c: {"image_id", "score"} <= set(c)),
    ("a COCO panoptic file", lambda c: "segments_info" in _first(c, "annotations")),
    ("a COCO captions file", lambda c: "caption" in _first(c, "annotations")),
    ("a Create ML file", lambda c: "image" in c and "coordinates" in _first(c, "annotations")),
    ("a Supervisely file", lambda c: "objects" in c and "size" in c and "tags" in c),
    ("a Labelbox export", lambda c: "data_row" in c or "Labeled Data" in c),
    ("a VoTT file", lambda c: "assets" in c or ("asset" in c and "regions" in c)),
    ("a V7 Darwin file", lambda c: "item" in c and "annotations" in c),
    ("a BDD100K or Scalabel file", lambda c: "frames" in c or "box2d" in _first(c, "labels")),
    ("an LVIS file", lambda c: "synset" in _first(c, "categories")),
]


def refusal(path: Path) -> Optional[Defect]:
    """The sentence about such a file."""
    name = foreign_format(path)
    hint = EXPORT_VIA if name == _VIA_TABLE else _CONVERT
    return None if name is None else Defect(f"is {name}, which is not read", hint)
