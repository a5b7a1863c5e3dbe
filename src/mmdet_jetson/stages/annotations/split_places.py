"""Where the pictures and the annotations of each split are, and whether there are any."""

from pathlib import Path
from typing import List, Mapping, Sequence

from mmdet_jetson.contract.parameters.dataset import DatasetParameters, SplitLocation
from mmdet_jetson.stages.annotations.examples import Split
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.formats import annotation_format
from mmdet_jetson.stages.annotations.picture_folder import lost_link
from mmdet_jetson.stages.annotations.records import OTHER, Labels, Record
from mmdet_jetson.stages.errors import StageError


def find_splits(parameters: DatasetParameters, source: Path) -> List[Split]:
    """The splits that the user named, whose pictures and annotations exist in ``source``.

    Raises:
        StageError: one does not, or is not named.
    """
    suffix = annotation_format(parameters.format).SUFFIX
    splits = []
    named = [("train", parameters.train), ("val", parameters.val)]
    if parameters.split is not None:
        del named[1]
    for name, location in named:
        if location is None and name == "train" and parameters.split is None:
            continue
        if location is None:
            raise StageError(f"nothing says where the {name} split is", f"set dataset.{name}")
        splits.append(_find_split(source, name, location, suffix))
    return splits


def _find_split(source: Path, name: str, location: SplitLocation, suffix: str) -> Split:
    pictures, annotations = source / location.pictures, source / location.annotations
    link = lost_link(pictures)
    if link is not None:
        raise StageError(
            f"the {name} split's pictures folder {location.pictures} is a file with the text "
            f"{link}: a symbolic link to a folder that became text when it was copied",
            f"make it a link again, such as by: ln -sfn {link} {location.pictures}",
        )
    if not pictures.is_dir():
        folders = sorted(path.name for path in source.iterdir() if path.is_dir())
        raise StageError(
            f"the {name} split's pictures folder {location.pictures} does not exist",
            f"the source has the folders: {', '.join(folders) or 'none'}",
        )
    if not annotations.exists():
        files = sorted(path.relative_to(source).as_posix() for path in source.rglob(f"*{suffix}"))
        raise StageError(
            f"the {name} split's annotation file {location.annotations} does not exist",
            f"the source has the files: {', '.join(files[:5]) or f'none that end in {suffix}'}",
        )
    return Split(name, pictures, annotations, location.annotations)


def check_filled(
    records: Mapping[Split, Sequence[Record]], labels: Labels, findings: Findings
) -> None:
    """Check that each split has pictures and objects; what is wrong goes to ``findings``."""
    for split, listed in records.items():
        with findings.at(split.shown):
            if not listed:
                raise Defect(
                    f"the {split.name} split has no pictures", "add some or correct its path"
                )
            if not any(record.regions for record in listed):
                reasons = [each for each in findings.warnings() if each.startswith("left out")]
                raise Defect(
                    ": ".join([f"the {split.name} split has no annotations", *reasons]),
                    f"the classes are {', '.join(labels.classes)}: rename says which of them a "
                    'name in the files means: rename = { "NAME" = "CLASS" }'
                    if any(each.startswith(f"left out, as {OTHER}") for each in reasons)
                    else "label some pictures, with shapes that have an area",
                )
