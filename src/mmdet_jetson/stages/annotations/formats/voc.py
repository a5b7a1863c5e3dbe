"""Read Pascal VOC annotations: a folder of XML files, one a picture, or one such file.

Of VOC's own layout, ``annotations`` may be a list such as ImageSets/Main/train.txt.

What the numbers of a box mean depends on who wrote them, and the writer is told by ``database``:

- VOC itself ("The VOC2007 Database"): pixels counted from 1, the last one included, so a box from
  1 to the width covers the picture and its edges are xmin - 1 and xmax (as Detectron2 reads it).
- labelImg and CVAT (through Datumaro) write "Unknown", and edges counted from 0 as they are
  (labelImg's ``convert_points_to_bnd_box`` makes 0 to 1, CVAT's boxes are x and x + width).
- all others as MMDetection's ``XMLDataset`` reads every file: both corners less 1. Roboflow and
  supervision write so: a box of the whole picture goes from 1 to the width + 1.

Files that name no database have edges where one of them has a coordinate of 0, which cannot count
from 1, or with decimals, as of labelme's ``labelme2voc``.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple
from xml.etree.ElementTree import Element

from mmdet_jetson.stages.annotations import geometry, safe_xml
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.own_names import OwnNames, files_below
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.records import Labels, Outline, Record, Region
from mmdet_jetson.stages.annotations.safe_xml import numeral

SUFFIX = ".xml"
PER_PICTURE = True

_LIST = ".txt"
_SETS = "ImageSets"
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
    if path.is_file() and path.suffix.lower() != _LIST:
        root = _root(path)
        return [_record(root, path.name, names, _has_edges([root]), everywhere)]
    roots: List[Tuple[Element, str, Place]] = []
    for file, name in _listed(path) if path.is_file() else files_below(path, SUFFIX):
        place = replace(everywhere, shown=f"{shown}/{name}")
        with place.checked():
            roots.append((_root(file), name, place))
    edges = _has_edges([root for root, _, _ in roots])
    records = []
    for root, name, place in roots:
        with place.checked():
            records.append(_record(root, name, names, edges, place))
    return records


def recognises(path: Path) -> bool:
    """Whether a file, or the first of a folder's, is one of Pascal VOC's."""
    try:
        return _root(files_below(path, SUFFIX)[0][0]).tag == "annotation"
    except Defect:
        return False


def _listed(path: Path) -> List[Tuple[Path, str]]:
    """The files that a list in ImageSets names, which lie in Annotations beside that."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Defect("cannot be read as a list of names", "save it as UTF-8") from error
    above = [folder.parent for folder in path.parents if folder.name == _SETS]
    names = [line.split()[0] for line in lines if line.strip()]
    if not above or not names:
        raise Defect(
            "is no list of Pascal VOC, which has a name a line and lies in ImageSets",
            "name the folder of XML files",
        )
    outside = [name for name in names if name.startswith("/") or ".." in name.split("/")]
    if outside:
        raise Defect(f'its name "{outside[0]}" points out of the dataset', "remove it")
    return [(above[0] / "Annotations" / f"{name}{SUFFIX}", f"{name}{SUFFIX}") for name in names]


def _root(path: Path) -> Element:
    root = safe_xml.load(path)
    if root.tag != "annotation":
        raise Defect(f"is XML but not Pascal VOC's: it begins with <{root.tag}>", _EXPORT_HINT)
    return root


def _record(root: Element, file: str, names: OwnNames, edges: bool, place: Place) -> Record:
    stated = (root.findtext("filename") or "").strip() or None
    name = names.beside(stated, file, place)
    shift = _shift(root, edges, place)
    objects = [(f"object {i + 1}", item) for i, item in enumerate(root.findall("object"))]
    regions = place.each(objects, lambda item, inside: _region(item, shift, inside))
    return Record(name, tuple(regions), _size(root), keys=_keys(root))


def _keys(root: Element) -> Dict[str, str]:
    folder = (root.findtext("folder") or "").strip()
    return {"folder": folder} if folder else {}


def _database(root: Element) -> str:
    return (root.findtext("source/database") or "").strip()


def _has_edges(roots: Sequence[Element]) -> bool:
    """Whether files of unknown writers, which one wrote, have what can only be edges."""
    unknown = [root for root in roots if not _database(root)]
    boxes = [box for root in unknown for box in root.findall("object/bndbox")]
    texts = [box.findtext(side) or "" for box in boxes for side in _SIDES]
    return any(map(_AN_EDGE.fullmatch, texts))


def _shift(root: Element, edges: bool, place: Place) -> _Shift:
    """What to take off the corners to get edges counted from 0; see above."""
    database = _database(root)
    if _ORIGINAL.search(database or root.findtext("folder") or ""):
        return 1, 0
    if database != _EDGES and (database or not edges):
        return 1, 1
    if root.find("object/bndbox") is not None:
        place.warn(
            "corners were read as edges counted from 0, as labelImg, CVAT and labelme2voc write "
            "them (MMDetection's XMLDataset would move these boxes by a pixel)"
        )
    return 0, 0


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
