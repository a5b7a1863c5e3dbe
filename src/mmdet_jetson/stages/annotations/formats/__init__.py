"""The annotation formats that are read: one module for each, of its name in `FORMATS`."""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Callable, List, Optional, Protocol, cast

from mmdet_jetson.contract.formats import FORMATS
from mmdet_jetson.stages.annotations import foreign
from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.readings import Readings
from mmdet_jetson.stages.annotations.records import Labels, Record
from mmdet_jetson.stages.errors import StageError


class Format(Protocol):
    """What the module of a format has."""

    SUFFIX: str
    """How the names of its files end, such as ".json": where one is missing, others are listed."""

    def read(self, path: Path, shown: str, labels: Labels, findings: Findings) -> List[Record]:
        """The pictures of an annotation file or folder; ``shown`` is its name in messages.

        What is wrong with a picture or a region goes to ``findings``, and the rest is read.

        Raises:
            Defect: nothing can be read.
        """

    def recognises(self, path: Path) -> bool:
        """Whether a file or folder looks like this format, so that a wrong setting can be named."""


class RememberingFormat(Format, Protocol):
    """A format of which a picture's objects need not be read again that the last run has read."""

    REMEMBERS: bool

    def read(
        self,
        path: Path,
        shown: str,
        labels: Labels,
        findings: Findings,
        readings: Optional[Readings] = None,
    ) -> List[Record]:
        """As that of `Format`; ``readings`` is what the last run has read."""


class PictureFormat(Format, Protocol):
    """A format with a file for each picture, whose name says which."""

    PER_PICTURE: bool

    def read(
        self,
        path: Path,
        shown: str,
        labels: Labels,
        findings: Findings,
        pictures: Optional[Path] = None,
    ) -> List[Record]:
        """As that of `Format`; ``pictures`` is the folder of the split's pictures."""


def annotation_format(name: str) -> Format:
    """Give the module that reads a format.

    Raises:
        StageError: there is no such format.
    """
    if name not in FORMATS:
        raise StageError(
            f"there is no annotation format {name!r}",
            f"set dataset.format to one of: {', '.join(FORMATS)}",
        )
    return cast("Format", import_module(f"{__name__}.{name}"))


def read_annotations(
    name: str,
    path: Path,
    shown: str,
    labels: Labels,
    findings: Findings,
    *,
    pictures: Optional[Path] = None,
    readings: Optional[Readings] = None,
) -> List[Record]:
    """Read annotations in the format of that name, as its module does.

    Raises:
        Defect: nothing can be read; it says so where the file is in one of the other formats.
    """
    found = len(findings.defects)
    try:
        records = _reader(name, pictures, readings)(path, shown, labels, findings)
    except Defect as defect:
        raise _meant(name, path) or defect from defect
    wrong = len(findings.defects) > found and not any(record.regions for record in records)
    if wrong and (meant := _meant(name, path)):
        del findings.defects[found:]
        raise meant
    return records


def _reader(
    name: str, pictures: Optional[Path], readings: Optional[Readings]
) -> Callable[[Path, str, Labels, Findings], List[Record]]:
    module = annotation_format(name)
    if getattr(module, "PER_PICTURE", False):
        return partial(cast("PictureFormat", module).read, pictures=pictures)
    if getattr(module, "REMEMBERS", False):
        return partial(cast("RememberingFormat", module).read, readings=readings)
    return module.read


def _meant(name: str, path: Path) -> Optional[Defect]:
    """What to say where a file, of which this format reads nothing, is in another one."""
    refused = foreign.refusal(path)
    if refused is not None:
        return refused
    if annotation_format(name).recognises(path):
        return None
    others = [other for other in FORMATS if other != name]
    meant = next((other for other in others if annotation_format(other).recognises(path)), None)
    if meant is None:
        return None
    kind = "folder" if path.is_dir() else "file"
    of_folders = getattr(annotation_format(name), "PER_PICTURE", False)
    return Defect(
        f"is a {FORMATS[meant]} {kind}, not a {FORMATS[name]} {kind if of_folders else 'file'}",
        f'set the dataset\'s format to "{meant}"',
    )
