"""What an annotation file says, whatever its format, and what the stage makes of it."""

import difflib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from mmdet_jetson.contract.formats import IGNORE, REFUSE
from mmdet_jetson.stages.annotations.coco_file import Segmentation
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.fingerprints import BLANK, Fingerprint

OTHER = "their classes are none of the dataset's"
_UNKNOWN = "unknown class"
_MINUS_ZERO = re.compile(r"-0\.0(?=[,\]])")

Point = Tuple[float, float]
Outline = Tuple[Point, ...]


@dataclass(frozen=True)
class Labels:
    """How an object gets its class.

    Formats whose regions have free attributes read the one called ``attribute``, and use
    ``default``, if any, where it says nothing; the others have a class for each object. ``rename``
    says which class a name of the file means. An object of a class that is none of ``classes`` is
    refused, or left out where ``others`` is `IGNORE`. ``met`` gathers the names of the files.
    """

    classes: Sequence[str]
    attribute: str
    default: Optional[str]
    others: str = REFUSE
    rename: Mapping[str, str] = field(default_factory=dict)
    met: Set[str] = field(default_factory=set, compare=False)


@dataclass(frozen=True)
class Region:
    """One object as annotated.

    ``where`` is how the annotation file numbers it, for messages. The shape is one or several
    closed ``outlines`` in pixels of the upright picture, or a COCO run-length ``mask``. Outlines
    may be ``fractions`` of the picture's width and height instead, for files without its size.
    ``stated`` is the box that the file has beside the shape, in the same coordinates. ``turned``
    says of fractions that the shape was turned in pixels, so that they hold for the stated size.
    """

    where: str
    label: str
    outlines: Tuple[Outline, ...] = ()
    mask: Optional[Mapping[str, object]] = None
    crowd: bool = False
    fractions: bool = False
    stated: Optional[Outline] = None
    turned: bool = False


@dataclass(frozen=True)
class Record:
    """One picture as annotated: its name as the file has it, regions, stated size.

    ``keys`` is what the file says of the picture besides, as text, which may tell groups:
    "video_id" is the video that it is a frame of.
    ``upright`` says that the tool that wrote it shows pictures upright, whatever size it states.
    ``reading`` is what `Readings` knows the regions by, if anything.
    """

    name: str
    regions: Sequence[Region]
    size: Optional[Tuple[int, int]] = None
    keys: Mapping[str, str] = field(default_factory=dict)
    upright: bool = False
    reading: str = ""


class Extent(NamedTuple):
    """Where an object lies, in pixels.

    ``text`` has its box, area and segmentation as a COCO file has them, members of an object of
    JSON: to read and to write the numbers anew each time took longer than all else.
    """

    text: str
    box: Tuple[float, float, float, float]

    @classmethod
    def of(
        cls, segmentation: Segmentation, box: Tuple[float, float, float, float], area: float
    ) -> "Extent":
        """The extent of a COCO segmentation, a box (x, y, width, height) and an area."""
        members = {"bbox": list(box), "area": area, "segmentation": segmentation}
        return cls.read(json.dumps(members)[1:-1])

    @classmethod
    def read(cls, text: str) -> "Extent":
        """The extent of that `text`."""
        x, y, width, height = map(float, text[len('"bbox": [') : text.index("]")].split(","))
        return cls(text, (x, y, width, height))

    @property
    def segmentation(self) -> Segmentation:
        """Polygons as x, y, x, y, ..., or a run-length mask."""
        found: Segmentation = json.loads(self.shape)
        return found

    @property
    def area(self) -> float:
        """In square pixels."""
        return float(json.loads(f"{{{self.text}}}")["area"])

    @property
    def shape(self) -> str:
        """The segmentation as text: the same for the same one."""
        text = self.text.partition('"segmentation": ')[2]
        return _MINUS_ZERO.sub("0.0", text) if "-0.0" in text else text


class Annotation(NamedTuple):
    """One object of the finished dataset, inside its picture."""

    label: str
    extent: Extent
    crowd: bool


@dataclass(frozen=True)
class Example:
    """One picture of the finished dataset.

    ``name`` is its file name in the artifact, ``source`` the user's file. It is copied as it is
    unless ``reencode`` says that its upright pixels have to be written anew; ``digest`` is over
    those pixels, ``fingerprint`` what they look like, ``keys`` as in `Record`.
    """

    name: str
    source: Path
    width: int
    height: int
    digest: str
    reencode: bool
    annotations: Tuple[Annotation, ...]
    fingerprint: Fingerprint = BLANK
    keys: Mapping[str, str] = field(default_factory=dict)


def class_of(text: str, labels: Labels, findings: Findings, where: str) -> Optional[str]:
    """The class that a name in an annotation file means, None where the object is left out.

    What is renamed or left out is warned of at ``where``: call it once an object.

    Raises:
        Defect: there is no such class; the sentence names the nearest one and the settings.
    """
    labels.met.add(text)
    if text not in labels.rename and text in labels.classes:
        return text
    meant = labels.rename.get(text, labels.rename.get(text.strip(), text.strip()))
    if meant in labels.classes:
        if text not in labels.rename and text.strip() not in labels.rename:
            findings.warn(f"the class {_quoted(text)} was read as {_quoted(meant)}", where)
        return meant
    # One that is a class but for upper and lower case is hardly meant to be left out.
    if labels.others == IGNORE and meant.lower() not in map(str.lower, labels.classes):
        findings.tally(f"left out, as {OTHER}", meant, where)
        return None
    raise Defect(f"{_UNKNOWN} {_quoted(meant)}", _hint(meant, labels))


def advise_renames(labels: Labels, findings: Findings) -> None:
    """Let the hints about unknown classes name what reads all of them, not the first alone."""
    unknown = sorted({text.strip() for text in labels.met} - {*labels.rename, *labels.classes})
    near = {name: _nearest(name, labels.classes) for name in unknown}
    pairs = [f'"{name}" = "{meant}"' for name, meant in near.items() if meant]
    if len(pairs) > 1:
        hint = f"rename = {{ {', '.join(pairs)} }} in [dataset] reads these as the nearest classes"
        findings.advise(_UNKNOWN, hint + _otherwise(labels))


def warn_of_unused_renames(labels: Labels, findings: Findings) -> None:
    """Warn of names in ``rename`` that no object in the files has."""
    met = {name for text in labels.met for name in (text, text.strip())}
    unknown = met - set(labels.rename) - set(labels.classes)
    for name in labels.rename:
        if name not in met:
            near = difflib.get_close_matches(name, unknown, n=1, cutoff=0.5)
            told = f" (did you mean {_quoted(near[0])}?)" if near else ""
            findings.warn("renamed, but no object is called so", _quoted(name) + told)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _nearest(name: str, classes: Sequence[str]) -> Optional[str]:
    by_lowercase = {known.lower(): known for known in classes}
    near = difflib.get_close_matches(name.lower(), by_lowercase, n=1, cutoff=0.5)
    return by_lowercase[near[0]] if near else None


def _hint(name: str, labels: Labels) -> str:
    meant = _nearest(name, labels.classes)
    if meant:
        first = f'the nearest class is "{meant}"; rename = {{ "{name}" = "{meant}" }} reads it so'
    else:
        first = f"the classes are: {', '.join(labels.classes)}; correct it or add it to them"
    return first + _otherwise(labels)


def _otherwise(labels: Labels) -> str:
    if labels.others == IGNORE:
        return ""
    return f', and others = "{IGNORE}" in [dataset] leaves out what is none of the classes'
