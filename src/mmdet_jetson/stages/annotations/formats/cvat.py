"""Read CVAT's own XML, version 1.1: "CVAT for images", and "CVAT for video" with its tracks.

Coordinates are those of the upright picture, with (0, 0) at the top left corner of its first
pixel. A box or an ellipse is turned around its centre by ``rotation`` degrees, clockwise. The runs
of a mask go along the rows of its own box, and the first one is outside.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple
from xml.etree.ElementTree import Element

from mmdet_jetson.stages.annotations import geometry, safe_xml
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.place import Place
from mmdet_jetson.stages.annotations.placed_masks import from_runs, whole_mask
from mmdet_jetson.stages.annotations.records import Labels, Outline, Record, Region
from mmdet_jetson.stages.annotations.safe_xml import numeral

SUFFIX = ".xml"

_HINT = "export the task as CVAT for images 1.1"
_NO_AREA = ("points", "polyline", "cuboid", "skeleton", "tag")
_WITH_AREA = ("box", "polygon", "ellipse", "mask")
_KEYS: Sequence[str] = ("subset", "task_id")
_FRAME = "frame_{:06d}"

_Size = Optional[Tuple[int, int]]


def read(path: Path, shown: str, labels: Labels, findings: Findings) -> List[Record]:
    """The pictures of a CVAT file; ``shown`` is its name in messages.

    A frame of a video is called frame_000000, as CVAT's exports of its pictures call it.

    Raises:
        Defect: the file as a whole cannot be read as CVAT's.
    """
    root = _root(path)
    place = Place(shown, labels, findings)
    images = [(f"image {i + 1}", image) for i, image in enumerate(root.findall("image"))]
    return place.each(images, lambda image, _: _record(image, place)) + _frames(root, place)


def recognises(path: Path) -> bool:
    """Whether a file is one of CVAT's."""
    try:
        return _root(path).tag == "annotations"
    except Defect:
        return False


def _root(path: Path) -> Element:
    root = safe_xml.load(path)
    if root.tag != "annotations":
        raise Defect(f"is XML but not CVAT's: it begins with <{root.tag}>", _HINT)
    if root.find("image") is None and root.find("track") is None:
        raise Defect("is XML but not CVAT's: it has neither images nor tracks", _HINT)
    return root


def _record(image: Element, file: Place) -> Record:
    name = image.get("name")
    if not name:
        raise Defect("has no name", _HINT)
    size = _size(image.get("width"), image.get("height"))
    shapes = [(f"{item.tag} {index + 1}", item) for index, item in enumerate(image)]
    regions = file.inside(name).each(
        shapes, lambda item, place: _region(item, item.get("label"), size, place)
    )
    keys: Dict[str, str] = {key: image.attrib[key] for key in _KEYS if key in image.attrib}
    return Record(name, tuple(regions), size, keys=keys, upright=True)


def _size(width: Optional[str], height: Optional[str]) -> _Size:
    if width is None and height is None:
        return None
    sides = numeral(width, "width"), numeral(height, "height")
    return (int(sides[0]), int(sides[1])) if min(sides) > 0 else None


def _frames(root: Element, file: Place) -> List[Record]:
    """The frames of a video that a track names, in their order."""
    size = None
    given = root.find(".//original_size")
    with file.inside("original_size").checked():
        size = None if given is None else _size(given.findtext("width"), given.findtext("height"))
    frames: Dict[int, List[Region]] = {}
    for index, track in enumerate(root.findall("track")):
        place = file.inside(f"track {track.get('id', index)}")
        numbered = [(f"{item.tag} {i + 1}", item) for i, item in enumerate(track)]
        tracked = partial(_tracked, label=track.get("label"), size=size)
        shapes = place.each(numbered, tracked)
        for frame, region in shapes:
            frames.setdefault(frame, []).extend([] if region is None else [region])
        _warn_of_gaps(track, _step(root), place)
    video = (root.findtext(".//source") or root.findtext(".//task/name") or "").strip()
    keys = {"video_id": video} if video else {}
    return [
        Record(_FRAME.format(frame), tuple(frames[frame]), size, keys, upright=True)
        for frame in sorted(frames)
    ]


def _tracked(
    item: Element, place: Place, label: Optional[str], size: _Size
) -> Tuple[int, Optional[Region]]:
    """The frame that a track's shape is in, and what is to be seen there."""
    frame = _frame(item)
    if frame is None:
        raise Defect(f'its frame is "{item.get("frame", "")[:40]}", not a number', _HINT)
    if item.get("outside") == "1":
        place.warn("left out, as it is outside of its frame")
        return frame, None
    region = _region(item, label, size, place)
    # Shapes of one track are told apart by their frame, as those of a picture by their number.
    return frame, None if region is None else replace(region, where=place.shown.split(", ")[-2])


def _frame(item: Element) -> Optional[int]:
    text = item.get("frame", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _step(root: Element) -> int:
    """How many frames apart those of the task are."""
    text = (root.findtext(".//frame_filter") or "").replace("step=", "").strip()
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 6 else 1


def _warn_of_gaps(track: Element, step: int, place: Place) -> None:
    """Warn where a track shows an object in a frame and does not say what is in the next."""
    shown = {_frame(item): item.get("outside") == "1" for item in track}
    frames = sorted(frame for frame in shown if frame is not None)
    for frame, later in zip(frames, frames[1:]):
        if later > frame + step and not shown[frame]:
            place.inside(f"frame {frame}").warn(
                "a track goes on some frames later without having left the picture: nothing was "
                "put into the frames between (export as CVAT for images, which has them all)"
            )


def _region(item: Element, label: Optional[str], size: _Size, place: Place) -> Optional[Region]:
    if item.tag in _NO_AREA:
        place.warn(f"left out, as its type {item.tag} has no area")
        return None
    if item.tag not in _WITH_AREA:
        raise Defect(f"<{item.tag[:40]}> is none of CVAT's shapes", _HINT)
    if not label or not label.strip():
        raise Defect("the shape has no label", _HINT)
    named = place.class_of(label)
    if item.tag == "mask":
        mask = _mask(item.attrib, size)
        return None if named is None else Region(place.where, named, mask=mask)
    outline = _outline(item)
    degrees = numeral(item.get("rotation", "0"), "rotation")
    if item.tag == "box" and degrees % 360:
        place.warn("a rotated box was read as its four corners")
    if item.get("group_id") not in (None, "0"):
        place.warn("shapes of a group were read as objects of their own")
    return None if named is None else Region(place.where, named, (outline,))


def _outline(item: Element) -> Outline:
    if item.tag == "polygon":
        return _polygon(item.get("points", ""))
    degrees = numeral(item.get("rotation", "0"), "rotation")
    if item.tag == "ellipse":
        cx, cy, rx, ry = (numeral(item.get(key), key) for key in ("cx", "cy", "rx", "ry"))
        if rx < 0 or ry < 0:
            raise Defect(f"its radii are {rx:g} and {ry:g}", "draw the shape again")
        return geometry.ellipse(cx, cy, rx, ry, degrees / geometry.DEGREES)
    left, top, right, bottom = (numeral(item.get(key), key) for key in ("xtl", "ytl", "xbr", "ybr"))
    if right < left or bottom < top:
        raise Defect(
            f"its box goes from {left:g}, {top:g} to {right:g}, {bottom:g}", "draw the shape again"
        )
    upright = geometry.rectangle(left, top, right - left, bottom - top)
    if not degrees % 360:
        return upright
    return geometry.turned(upright, ((left + right) / 2, (top + bottom) / 2), degrees)


def _polygon(text: str) -> Outline:
    pairs = [pair.split(",") for pair in text.split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise Defect("one of its points does not have two coordinates", "draw the shape again")
    values = [[numeral(value, "a coordinate") for value in pair] for pair in pairs]
    return geometry.polygon([x for x, _ in values], [y for _, y in values])


def _mask(item: Mapping[str, str], size: _Size) -> Mapping[str, object]:
    if size is None:
        raise Defect("its mask has no picture size", _HINT)
    left, top, width, height = (
        _whole(item.get(key), key) for key in ("left", "top", "width", "height")
    )
    runs = [_whole(text, "a run length") for text in item.get("rle", "").split(",")]
    return whole_mask(from_runs(runs, (width, height)), (left, top), size)


def _whole(text: Optional[str], name: str) -> int:
    value = numeral(text, name)
    if not value.is_integer():
        raise Defect(f"{name} is {value:g}, not a whole number", _HINT)
    return int(value)
