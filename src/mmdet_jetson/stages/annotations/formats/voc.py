"""Read Pascal VOC annotations: a folder of XML files, one a picture, or one such file.

What the numbers of a box mean depends on who wrote them, and the writer is told by ``database``:

- VOC itself ("The VOC2007 Database"): pixels counted from 1, the last one included, so a box from
  1 to the width covers the picture and its edges are xmin - 1 and xmax (as Detectron2 reads it).
- labelImg and CVAT (through Datumaro) write "Unknown", and edges counted from 0 as they are
  (labelImg's ``convert_points_to_bnd_box`` makes 0 to 1, CVAT's boxes are x and x + width); so
  does labelme's ``labelme2voc``, with decimals.
- all others as MMDetection's ``XMLDataset`` reads every file: both corners less 1. Roboflow and
  supervision write so: a box of the whole picture goes from 1 to the width + 1.

A coordinate of 0 cannot count from 1, and one with decimals is no count of pixels: files with
such ones are read as edges, but for VOC's own, some of which have decimals.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple
from xml.etree.ElementTree import Element

from mmdet_jetson.stages.annotations import geometry, safe_xml
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.own_names import OwnNames, files_below
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.records import Labels, Outline, Record, Region
from mmdet_jetson.stages.annotations.safe_xml import numeral

SUFFIX = ".xml"
PER_PICTURE = True

_EXPORT_HINT = "export the annotations in the format Pascal VOC"
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_ORIGINAL = re.compile(r"VOC\s?20\d\d")
_EDGES = "Unknown"
_AN_EDGE = re.compile(r"\s*(0+|\d*\.\d*)\s*")
_Shift = Tuple[float, float]
"""What is taken off the first and off the last corner."""


def read(
    path: Path, shown: str, labels: Labels, findings: Findings, pictures: Optional[Path] = None
) -> List[Record]:
    """The pictures of the XML files; ``shown`` is the folder's name in messages.

    A difficult object becomes a crowd: MMDetection marks both to be ignored.

    Raises:
        Defect: there are none, or a file by itself is not Pascal VOC's.
    """
    names, everywhere = OwnNames(pictures), Place(shown, labels, findings)
    if not path.is_dir():
        return [_record(_root(path), path.name, names, everywhere)]
    records = []
    for file, name in files_below(path, SUFFIX):
        place = replace(everywhere, shown=f"{shown}/{name}")
        with place.checked():
            records.append(_record(_root(file), name, names, place))
    return records


def recognises(path: Path) -> bool:
    """Whether a file, or the first of a folder's, is one of Pascal VOC's."""
    try:
        return _root(files_below(path, SUFFIX)[0][0]).tag == "annotation"
    except Defect:
        return False


def _root(path: Path) -> Element:
    root = safe_xml.load(path)
    if root.tag != "annotation":
        raise Defect(f"is XML but not Pascal VOC's: it begins with <{root.tag}>", _EXPORT_HINT)
    return root


def _record(root: Element, file: str, names: OwnNames, place: Place) -> Record:
    stated = (root.findtext("filename") or "").strip() or None
    name = names.beside(stated, file, place)
    shift = _shift(root, place)
    objects = [(f"object {i + 1}", item) for i, item in enumerate(root.findall("object"))]
    regions = place.each(objects, lambda item, inside: _region(item, shift, inside))
    return Record(name, tuple(regions), _size(root), keys=_keys(root))


def _keys(root: Element) -> Dict[str, str]:
    return {key: text for key in ("folder",) if (text := (root.findtext(key) or "").strip())}


def _shift(root: Element, place: Place) -> _Shift:
    """What to take off the corners to get edges counted from 0; see above."""
    boxes = root.findall("object/bndbox")
    if not boxes:
        return 1, 1
    database = (root.findtext("source/database") or "").strip()
    if _ORIGINAL.search(database):
        return 1, 0
    texts = [box.findtext(side) or "" for box in boxes for side in _SIDES]
    if database == _EDGES or any(map(_AN_EDGE.fullmatch, texts)):
        place.warn(
            "corners were read as edges counted from 0, as labelImg, CVAT and labelme2voc write "
            "them (MMDetection's XMLDataset would move these boxes by a pixel)"
        )
        return 0, 0
    return 1, 1


def _region(item: Element, shift: _Shift, place: Place) -> Optional[Region]:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise Defect("the object has no name", "label it, or remove it")
    label = place.class_of(name)
    outline = _outline(item, shift, place)
    if label is None:
        return None
    return Region(place.where, label, (outline,), crowd=_difficult(item, place))


def _outline(item: Element, shift: _Shift, place: Place) -> Outline:
    boxes, turned = item.findall("bndbox"), item.find("robndbox")
    if not boxes and turned is not None:
        place.warn("a rotated box was read as its four corners")
        return _rotated(turned)
    if len(boxes) != 1:
        raise Defect(f"the object has {len(boxes)} boxes (bndbox), not one", _EXPORT_HINT)
    for extra in ("polygon", "part", "mask"):
        if item.find(extra) is not None:
            place.warn(f"the object's {extra} was left out: its box counts")
    left, top, right, bottom = (numeral(boxes[0].findtext(side), side) for side in _SIDES)
    first, last = shift
    width, height = right - last - left + first, bottom - last - top + first
    if width < 0 or height < 0:
        raise Defect(
            f"its box goes from {left:g}, {top:g} to {right:g}, {bottom:g}", "draw the object again"
        )
    return geometry.rectangle(left - first, top - first, width, height)


def _rotated(box: Element) -> Outline:
    """The corners of labelImg2's box: its centre, its size, and radians clockwise."""
    cx, cy, width, height, angle = (
        numeral(box.findtext(key), key) for key in ("cx", "cy", "w", "h", "angle")
    )
    upright = geometry.rectangle(cx - width / 2, cy - height / 2, width, height)
    return geometry.turned(upright, (cx, cy), angle * geometry.DEGREES)


def _difficult(item: Element, place: Place) -> bool:
    text = (item.findtext("difficult") or "0").strip().lower()
    if text not in ("0", "1", "true", "false", "unspecified"):
        raise Defect(f'difficult is "{text[:40]}", neither 0 nor 1', _EXPORT_HINT)
    if text in ("1", "true"):
        place.warn("marked difficult, so it is ignored as a crowd is, in training too")
        return True
    return False


def _size(root: Element) -> Optional[Tuple[int, int]]:
    size = root.find("size")
    if size is None:
        return None
    width, height = (numeral(size.findtext(side), side) for side in ("width", "height"))
    # labelImg writes 0 where it did not know.
    return (int(width), int(height)) if width > 0 and height > 0 else None
