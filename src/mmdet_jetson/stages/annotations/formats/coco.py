"""Read COCO detection annotations.

Coordinates are those of the upright picture, with (0, 0) at the top left corner of its first
pixel, and so are the stated widths and heights.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Set, Tuple

from mmdet_jetson.stages.annotations import geometry, strict_json
from mmdet_jetson.stages.annotations.coco_sections import (
    EXPORT_HINT,
    Id,
    Item,
    Section,
    by_picture,
    id_of,
)
from mmdet_jetson.stages.annotations.coco_shapes import all_corners, all_fractions, shaped
from mmdet_jetson.stages.annotations.findings import Defect, Findings, LeftOut
from mmdet_jetson.stages.annotations.readings import Readings, Unread, reading_key, salt_of
from mmdet_jetson.stages.annotations.records import Labels, Record, Region, class_of
from mmdet_jetson.stages.annotations.strict_json import flag, number, texts

SUFFIX = ".json"
REMEMBERS = True

_SECTIONS = ("images", "annotations", "categories")
_IGNORED = 'it is marked "ignore", and MMDetection leaves such out'
_NO_CLASS = (
    "it has no category_id, as VIA writes it where its options' ids are no numbers, and got the "
    "default class"
)
_NO_ID = "an annotation has no id of its own (nothing here needs it; MMDetection does)"
_NAME_TWICE = "the category has the name of another one, and both are read as one class"
_ROUNDING = 1e-3
_KNOWN_KEYS = ("id", "file_name", "width", "height")


def read(
    path: Path,
    shown: str,
    labels: Labels,
    findings: Findings,
    readings: Optional[Readings] = None,
) -> List[Record]:
    """The pictures of a COCO file in its order; ``shown`` is the file's name in messages.

    The objects of a picture that ``readings`` knows are read when somebody looks at them.

    A shape comes from the polygons or the run-length mask of ``segmentation``, else from ``bbox``.
    An annotation with a defect is left out and goes to ``findings``. A category that no annotation
    uses need not be one of the classes.

    Raises:
        Defect: the file as a whole cannot be read as COCO.
    """
    content = strict_json.load(path)
    sections = _sections(content)
    reading = _Reading(sections, shown, labels, findings)
    drawn_upright = _by_label_studio(content)
    if readings and not drawn_upright and reading.categories.have_own_names:
        reading.look_up(readings)
    reading.read()
    return reading.records(drawn_upright)


def recognises(path: Path) -> bool:
    """Whether a file is one of COCO's."""
    try:
        content = strict_json.load(path)
    except Defect:
        return False
    return isinstance(content, dict) and "images" in content and "annotations" in content


def _sections(content: object) -> Dict[str, List[object]]:
    if not isinstance(content, dict):
        raise Defect("is JSON but not a COCO file", EXPORT_HINT)
    for section in _SECTIONS:
        if not isinstance(content.get(section), list):
            raise Defect(f'is not a COCO file: it has no list "{section}"', EXPORT_HINT)
    annotations = content["annotations"]
    for key, kind in (("segments_info", "panoptic segmentation"), ("caption", "captions")):
        if annotations and all(isinstance(raw, dict) and key in raw for raw in annotations):
            raise Defect(f"is a COCO file of {kind}, which has no boxes", EXPORT_HINT)
    if all_fractions(annotations):
        raise Defect(
            "has boxes between 0 and 1 only: they are shares of the pictures' sizes, not pixels",
            "multiply x and width by the picture's width, y and height by its height",
        )
    if all_corners(annotations):
        raise Defect(
            "has boxes whose areas are those between two corners, throughout: they are x1, y1, x2, "
            "y2, and a COCO box is x, y, width, height",
            "subtract: jq '.annotations[].bbox |= [.[0], .[1], .[2] - .[0], .[3] - .[1]]' "
            "OLD.json > NEW.json",
        )
    return content


def _by_label_studio(content: object) -> bool:
    info = content.get("info") if isinstance(content, dict) else None
    return isinstance(info, dict) and info.get("contributor") == "Label Studio"


class _Reading:
    """One file being read: its pictures and categories, and the regions found so far."""

    def __init__(
        self,
        sections: Mapping[str, List[object]],
        shown: str,
        labels: Labels,
        findings: Findings,
    ) -> None:
        self.sections, self.shown, self.labels, self.findings = sections, shown, labels, findings
        self.images = Section("images", sections["images"], shown, findings)
        self.categories = Section("categories", sections["categories"], shown, findings)
        self.regions: Dict[Id, List[Region]] = {identifier: [] for identifier in self.images.items}
        self._ids: Dict[Id, int] = {}
        self._names: Dict[str, Id] = {}
        self._keys: Dict[Id, str] = {}
        self._unread: Dict[Id, Unread] = {}
        self._left: Set[int] = set()

    def look_up(self, readings: Readings) -> None:
        """Leave the objects of pictures unread that are known."""
        salt = salt_of(self.labels, self.categories.items)
        used: Set[object] = set()
        for image, listed in by_picture(self.sections["annotations"], self.images).items():
            self._keys[image] = reading_key(salt, list(listed.values()))
            if readings.has(self._keys[image]):
                self._left.update(listed)
                read = partial(self._read_anew, image, list(listed.values()))
                self._unread[image] = Unread(len(listed), read)
                used.update(raw["category_id"] for raw in listed.values())
        self.labels.met.update(str(self.categories.get(each).get("name")) for each in used)

    def _read_anew(self, image: Id, annotations: List[Item]) -> List[Region]:
        sections: Dict[str, List[object]] = {
            "images": [self.images.items[image]],
            "categories": list(self.categories.items.values()),
            "annotations": [*annotations],
        }
        reading = _Reading(sections, self.shown, self.labels, Findings())
        reading.read()
        return reading.regions[image]

    def read(self) -> None:
        """Read the annotations that are not known; what is wrong with them goes to the findings."""
        for index, raw in enumerate(self.sections["annotations"]):
            if index not in self._left:
                before = self.findings.told
                self.add(index, raw)
                if self._keys and self.findings.told > before and isinstance(raw, dict):
                    self._keys.pop(raw["image_id"], None)

    def add(self, index: int, raw: object) -> None:
        """Read an annotation; what is wrong with it goes to the findings."""
        identifier = id_of(raw.get("id")) if isinstance(raw, dict) else None
        where = f"annotations[{index}]" if identifier is None else f"annotation {identifier}"
        image = self.images.get(raw.get("image_id")) if isinstance(raw, dict) else {}
        named = f"{image['file_name']}, " if "file_name" in image else ""
        place = f"{self.shown}, {named}{where}"
        with self.findings.at(place):
            if not isinstance(raw, dict):
                raise Defect("the annotation is no JSON object", EXPORT_HINT)
            self._note_id(identifier, index, place)
            self._add(raw, where, place)

    def _note_id(self, identifier: Optional[Id], index: int, place: str) -> None:
        if identifier is None:
            self.findings.warn(_NO_ID, place)
        elif self._ids.setdefault(identifier, index) != index:
            topic = "several annotations share an id (nothing here needs it; MMDetection refuses)"
            self.findings.warn(topic, place)

    def _add(self, raw: Item, where: str, place: str) -> None:
        if flag(raw, "ignore", place, self.findings):
            raise LeftOut(_IGNORED, "remove its mark")
        image = self.images.find(raw, "image_id", place)
        label = self._label(raw, place)
        if label is not None:
            crowd = flag(raw, "iscrowd", place, self.findings)
            blank = Region(where, label, crowd=crowd)
            self.regions[image].append(shaped(blank, raw, place, self.findings))

    def _label(self, raw: Item, place: str) -> Optional[str]:
        """The class of an annotation, None where it is to be left out."""
        if raw.get("category_id") is None and self.labels.default is not None:
            self.findings.warn(_NO_CLASS, place)
            return self.labels.default
        if raw.get("category_id") is None:
            raise Defect(
                "it has no category_id",
                "VIA writes none where its options' ids are no numbers: export its own JSON, or "
                "set a default_class",
            )
        identifier = self.categories.find(raw, "category_id", place)
        name = self.categories.items[identifier].get("name")
        if isinstance(name, bool) or not isinstance(name, (str, int)) or not str(name).strip():
            raise Defect(f"its category {identifier} has no name", EXPORT_HINT)
        if self._names.setdefault(str(name), identifier) != identifier:
            self.findings.warn(_NAME_TWICE, f"{self.shown}, category {identifier}, {name}")
        return class_of(str(name), self.labels, self.findings, place)

    def records(self, drawn_upright: bool) -> List[Record]:
        """What was read, picture by picture."""
        records = []
        for identifier, image in self.images.items.items():
            with self.findings.at(f"{self.shown}, image {identifier}"):
                name = image.get("file_name", image.get("coco_url"))
                if not isinstance(name, str) or not name.strip():
                    raise Defect("has no file_name", EXPORT_HINT)
                regions, size = self.regions[identifier], _size(image)
                if drawn_upright and size:
                    regions = [_by_shares(region, size) for region in regions]
                known = self._unread.get(identifier, tuple(regions))
                key = self._keys.get(identifier, "")
                records.append(Record(name, known, size, _keys(image), drawn_upright, key))
        return records


def _by_shares(region: Region, size: Tuple[int, int]) -> Region:
    """A region of Label Studio's, which draws on upright pictures and knows shares of their size.

    Its boxes are in pixels of the upright picture, its polygons in shares of that times the size
    that it states, which is the size as stored. (label_studio_sdk, converter.py: rectangles by
    ``original_width``, polygons by ``Image.open(...).size``.)
    """
    if region.mask is not None or region.stated is None:
        return region
    across, down = 1 / size[0], 1 / size[1]
    (stated,) = geometry.scaled([region.stated], across, down)
    outlines = geometry.scaled(region.outlines, across, down)
    return replace(region, outlines=outlines, stated=stated, fractions=True)


def _keys(image: Item) -> Dict[str, str]:
    """What a file says of a picture besides what is read."""
    return {key: text for key, text in texts(image).items() if key not in _KNOWN_KEYS}


def _size(image: Item) -> Optional[Tuple[int, int]]:
    """The stated size; tools write -1, 0 or nothing where they did not know it."""
    sides = []
    for side in ("width", "height"):
        value = image.get(side)
        if value in (None, ""):
            return None
        if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
            value = int(value)
        pixels = number(value, side)
        sides.append(round(pixels))
        if pixels < -1 or abs(pixels - sides[-1]) > _ROUNDING:
            raise Defect(f"its {side} is {pixels:g}", "correct it or remove it")
    return (sides[0], sides[1]) if min(sides) > 0 else None
