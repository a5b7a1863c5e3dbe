"""Bring annotations and pictures together, and check what only both can tell."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Container, Dict, List, Sequence, Tuple, Union

from mmdet_jetson.stages.annotations import geometry
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.masks import mask_extent
from mmdet_jetson.stages.annotations.pictures import Inspection, PictureFolder, inspect
from mmdet_jetson.stages.annotations.records import Annotation, Example, Extent, Record, Region

WORKERS = min(8, os.cpu_count() or 1)
"""Threads that decode or copy pictures; Pillow, OpenCV and hashlib let others run meanwhile."""

_TURNED = (
    "turned upright, as its EXIF orientation says; its regions are taken to be drawn on the "
    "upright picture, as browsers show it"
)
_REWRITTEN = "written as a plain PNG, as other programs may see something else in such a file"


@dataclass(frozen=True)
class Split:
    """Where the pictures and annotations of one split are; ``shown`` names the file in messages."""

    name: str
    pictures: Path
    annotations: Path
    shown: str


def examine(
    split: Split, records: Sequence[Record], findings: Findings, advance: Callable[[], None]
) -> List[Example]:
    """The examples of a split, sorted by name; what is wrong goes to ``findings``.

    ``advance`` is called once a picture.
    """
    folder = PictureFolder(split.pictures)
    found = _find(split, records, folder, findings)
    examples = []
    with ThreadPoolExecutor(WORKERS) as pool:
        inspections = pool.map(_try_to_inspect, [folder.path(name) for name in found])
        for (name, record), inspection in zip(found.items(), inspections):
            advance()
            where = f"{split.shown}, {name}"
            with findings.at(where):
                checked = _checked(inspection, record)
                annotations = _annotations(record, checked, where, findings)
                target = name if checked.plain else _png_name(name, found)
                examples.append(_example(target, folder.path(name), checked, annotations, record))
                if not checked.plain:
                    findings.warn(_TURNED if checked.turned else _REWRITTEN, where)
    return sorted(examples, key=lambda example: example.name)


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
        group=record.group,
        keys=record.keys,
    )


def _find(
    split: Split, records: Sequence[Record], folder: PictureFolder, findings: Findings
) -> Dict[str, Record]:
    """Each record under the name of its file."""
    found: Dict[str, Record] = {}
    for record in records:
        with findings.at(f"{split.shown}, {record.name}"):
            name = folder.find(record.name)
            if name in found:
                raise Defect("the picture is listed twice", "merge its two entries")
            found[name] = record
    return found


def _try_to_inspect(path: Path) -> Union[Inspection, Defect]:
    """Inspect in a thread of a pool, where one defect must not end the others."""
    try:
        return inspect(path)
    except Defect as defect:
        return defect


def _checked(inspection: Union[Inspection, Defect], record: Record) -> Inspection:
    if isinstance(inspection, Defect):
        raise inspection
    size = (inspection.width, inspection.height)
    if record.size not in (None, size):
        raise Defect(
            f"the annotations say {_by(record.size)} pixels, the upright picture has {_by(size)}",
            "put the picture back that was labelled, or label this one",
        )
    return inspection


def _by(size: Tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _png_name(name: str, taken: Container[str]) -> str:
    target = f"{name}.png"
    while target in taken:
        target += ".png"
    return target


def _annotations(
    record: Record, picture: Inspection, where: str, findings: Findings
) -> Tuple[Annotation, ...]:
    """The record's regions inside the picture, each once."""
    kept: Dict[str, Tuple[Region, Annotation]] = {}
    for region in record.regions:
        place = f"{where}, {region.where}"
        with findings.at(place):
            extent = _extent(region, picture, place, findings)
            outline = json.dumps(extent.segmentation)
            if outline not in kept:
                kept[outline] = region, Annotation(region.label, extent, region.crowd)
            elif kept[outline][0].label == region.label:
                findings.warn("left out, as it repeats another region", place)
            else:
                raise _contradiction(kept[outline][0])
    return tuple(annotation for _, annotation in kept.values())


def _contradiction(other: Region) -> Defect:
    return Defect(
        f'it repeats {other.where}, which has the class "{other.label}"', "delete one of the two"
    )


def _extent(region: Region, picture: Inspection, place: str, findings: Findings) -> Extent:
    if region.mask is not None:
        return mask_extent(region.mask, picture.width, picture.height)
    placement = geometry.place(region.outlines, picture.width, picture.height)
    if placement.repaired:
        findings.warn("made valid, as its outline crosses itself", place)
    if placement.clipped:
        findings.warn("cut off at the picture's edge, which it reaches past", place)
    return placement.extent


def compare(train: Sequence[Example], val: Sequence[Example], findings: Findings) -> None:
    """Compare pictures by their pixels: none may be in both splits, repeats in one are a warning.

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
    for split, examples in (("train", train), ("val", val)):
        _warn_of_repeats(split, examples, findings)


def _warn_of_repeats(split: str, examples: Sequence[Example], findings: Findings) -> None:
    first: Dict[str, str] = {}
    for example in examples:
        other = first.setdefault(example.digest, example.name)
        if other != example.name:
            findings.warn("shows the same pixels twice", f"{split}, {other} and {example.name}")
