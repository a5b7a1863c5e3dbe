"""Bring annotations and pictures together, and check what only both can tell."""

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Container, Dict, List, Optional, Sequence, Set, Tuple, Union

from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.geometry import OUTSIDE
from mmdet_jetson.stages.annotations.known import Known
from mmdet_jetson.stages.annotations.orientation import Listed, upright_records
from mmdet_jetson.stages.annotations.picture_folder import PictureFolder
from mmdet_jetson.stages.annotations.pictures import Inspection
from mmdet_jetson.stages.annotations.records import Annotation, Example, Record, Region

WORKERS = min(8, os.cpu_count() or 1)
"""Threads that decode or copy pictures; Pillow, OpenCV and hashlib let others run meanwhile."""

_TURNED = (
    "turned upright, as its EXIF orientation says; its regions are taken to be drawn on the "
    "upright picture, as browsers show it"
)
_CROWD = (
    "marked as a crowd (iscrowd), so it is not learnt, and detections on it count neither way; "
    "CVAT marks single objects so that are painted with its brush"
)
_NO_CROWDS = (
    "set iscrowd to 0 for those that are single objects, as what CVAT's brush has painted: "
    "jq '.annotations[].iscrowd = 0' OLD.json > NEW.json"
)
_BY_END = "found by the end of its path alone"
_REWRITTEN = "written as a plain PNG, as other programs may see something else in such a file"


@dataclass(frozen=True)
class Split:
    """Where the pictures and annotations of one split are; ``shown`` names the file in messages."""

    name: str
    pictures: Path
    annotations: Path
    shown: str


def examine(
    split: Split,
    records: Sequence[Record],
    findings: Findings,
    advance: Callable[[], None],
    known: Optional[Known] = None,
) -> List[Example]:
    """The examples of a split, sorted by name; what is wrong goes to ``findings``.

    ``advance`` is called once a picture; what is ``known`` is not looked at again.
    """
    known = known or Known(split.pictures, {}, None)
    folder = known.folder(split.pictures)
    found = _find(split, records, folder, findings)
    listed: Dict[str, Listed] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        # What is known needs no thread, each of which costs more than to look it up.
        asked = {
            path: None if known.has_seen(path) else pool.submit(_try_to_inspect, known, path)
            for path in map(folder.path, found)
        }
        for name, record in found.items():
            future = asked[folder.path(name)]
            inspection = future.result() if future else known.inspect(folder.path(name))
            advance()
            if isinstance(inspection, Defect):
                findings.defect(f"{split.shown}, {name}", inspection.what, inspection.hint)
            else:
                listed[name] = Listed(record, inspection)
    turned = upright_records(listed, split.shown, findings)
    examples = []
    outside = findings.times(OUTSIDE)
    for name, (record, picture) in listed.items():
        where = f"{split.shown}, {name}"
        with findings.at(where):
            checked = _checked(picture, turned.get(name, record))
            annotations = known.readings.annotations(checked.reading, picture)
            if annotations is None:
                annotations = _annotations(checked, picture, where, findings, known)
            target = name if picture.plain else _png_name(name, found)
            examples.append(_example(target, folder.path(name), picture, annotations, record))
            if not picture.plain and name not in turned:
                findings.warn(_TURNED if picture.turned else _REWRITTEN, where)
    _check_outside(split, records, findings.times(OUTSIDE) - outside, findings)
    _check_left(split, records, examples, findings)
    return sorted(examples, key=lambda example: example.name)


def _check_left(
    split: Split, records: Sequence[Record], examples: Sequence[Example], findings: Findings
) -> None:
    """Check that of a split with objects something is left to learn from."""
    annotations = [each for example in examples for each in example.annotations]
    if findings.defects or not any(record.regions for record in records):
        return
    if not annotations:
        reasons = "; ".join(each for each in findings.warnings() if each.startswith("left out"))
        what = f"all objects of the {split.name} split are left out: {reasons}"
        findings.defect(split.shown, what, "correct these, or set others and rename in [dataset]")
    elif all(annotation.crowd for annotation in annotations):
        what = f"all objects of the {split.name} split are crowds, of which nothing is learnt"
        findings.defect(split.shown, what, _NO_CROWDS)


def _check_outside(
    split: Split, records: Sequence[Record], outside: int, findings: Findings
) -> None:
    """Refuse objects that mostly lie outside: these are not the pictures that were labelled."""
    objects = sum(len(record.regions) for record in records)
    if 2 * outside > objects:
        findings.defect(
            split.shown,
            f"{outside} of the {objects} objects of the {split.name} split lie wholly outside "
            "their pictures",
            "were the pictures resized or replaced after they were labelled? "
            "put those back that were labelled",
        )


def _example(
    name: str,
    source: Path,
    picture: Inspection,
    annotations: Tuple[Annotation, ...],
    record: Record,
) -> Example:
    return Example(
        name=name,
        source=source,
        width=picture.width,
        height=picture.height,
        digest=picture.digest,
        reencode=not picture.plain,
        annotations=annotations,
        fingerprint=picture.fingerprint,
        keys=record.keys,
    )


def _find(
    split: Split, records: Sequence[Record], folder: PictureFolder, findings: Findings
) -> Dict[str, Record]:
    """Each record under the name of its file; those of exactly its name take it first."""
    found: Dict[str, Record] = {}
    near: List[Tuple[Record, str]] = []
    for record in records:
        with findings.at(f"{split.shown}, {record.name}"):
            match = folder.find(record.name)
            if match.exact:
                _take(match.name, record, found, f"{split.shown}, {record.name}", findings)
            else:
                near.append((record, match.name))
    claims: Dict[str, Set[str]] = defaultdict(set)
    for record, name in near:
        claims[name].add(record.name)
    for record, name in near:
        where = f"{split.shown}, {record.name}"
        with findings.at(where):
            other = found.get(name)
            if other is not None and other.name == record.name:
                _take(name, record, found, where, findings)
                continue
            if other is not None or len(claims[name]) > 1:
                raise Defect(
                    f'the picture is missing: "{name}" ends like it, but so does another entry',
                    "name each picture by its path inside the pictures folder",
                )
            found[name] = record
            findings.warn(_BY_END, f"{where} is {name}")
    return found


def _take(
    name: str, record: Record, found: Dict[str, Record], where: str, findings: Findings
) -> None:
    """Give a file to a record; one that is listed twice needs regions in one entry only.

    Raises:
        Defect: both entries have regions, and they differ.
    """
    known = found.setdefault(name, record)
    if known is record:
        return
    if known.regions and record.regions and _shapes(known) != _shapes(record):
        raise Defect("the picture is listed twice", "merge its two entries")
    findings.warn("listed twice, with the same regions or with none in one entry", where)
    found[name] = replace(known, regions=(*known.regions, *record.regions), reading="")


def _shapes(record: Record) -> List[str]:
    """The regions of a record but for how the file numbers them."""
    return sorted(repr(replace(region, where="")) for region in record.regions)


def _try_to_inspect(known: Known, path: Path) -> Union[Inspection, Defect]:
    """Inspect in a thread of a pool, where one defect must not end the others."""
    try:
        return known.inspect(path)
    except Defect as defect:
        return defect


def _checked(picture: Inspection, record: Record) -> Record:
    size = (picture.width, picture.height)
    if record.size not in (None, size):
        raise Defect(
            f"the annotations say {_by(record.size)} pixels, the upright picture has {_by(size)}",
            "put the picture back that was labelled, or label this one",
        )
    return record


def _by(size: Tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _png_name(name: str, taken: Container[str]) -> str:
    target = f"{name}.png"
    while target in taken:
        target += ".png"
    return target


def _annotations(
    record: Record, picture: Inspection, where: str, findings: Findings, known: Known
) -> Tuple[Annotation, ...]:
    """The record's regions inside the picture, each once; noted where all is right."""
    before, extents = findings.told, []
    kept: Dict[str, Tuple[Region, Annotation]] = {}
    for region in record.regions:
        place = f"{where}, {region.where}"
        with findings.at(place):
            extent_key, extent = known.extents.of(region, picture, place, findings)
            outline = extent.shape
            if outline not in kept:
                kept[outline] = region, Annotation(region.label, extent, region.crowd)
                extents.append(extent_key)
                if region.crowd:
                    findings.warn(_CROWD, place)
            elif kept[outline][0].label == region.label:
                findings.warn("left out, as it repeats another region", place)
            else:
                raise _contradiction(kept[outline][0])
    annotations = tuple(annotation for _, annotation in kept.values())
    if record.reading and findings.told == before:
        objects = [(item.label, each) for item, each in zip(annotations, extents)]
        known.readings.note(record.reading, picture, objects)
    return annotations


def _contradiction(other: Region) -> Defect:
    return Defect(
        f'it repeats {other.where}, which has the class "{other.label}"', "delete one of the two"
    )


def refuse_shared(train: Sequence[Example], val: Sequence[Example], findings: Findings) -> None:
    """Refuse pictures of which both splits have the same pixels.

    A validation picture that was trained on makes every figure of the evaluation too good.
    """
    known = {example.digest: example.name for example in train}
    for example in val:
        if example.digest in known:
            findings.defect(
                f"val, {example.name}",
                f"shows the same pixels as {known[example.digest]} of the training split",
                "remove it from one of the two splits",
            )


def warn_of_repeats(split: str, examples: Sequence[Example], findings: Findings) -> None:
    """Warn of pictures of a split with the same pixels, and where they are labelled otherwise."""
    first: Dict[str, Example] = {}
    for example in examples:
        other = first.setdefault(example.digest, example)
        if other is not example:
            alike = _labelled(other) == _labelled(example)
            topic = "show the same pixels" + ("" if alike else ", but are labelled otherwise")
            findings.warn(topic, f"{split}, {other.name} and {example.name}")


def _labelled(example: Example) -> List[str]:
    return sorted(map(repr, example.annotations))
