"""The annotation formats that are read: one module for each, of its name in `FORMATS`."""

from importlib import import_module
from pathlib import Path
from typing import List, Protocol, cast

from mmdet_jetson.contract.formats import FORMATS
from mmdet_jetson.stages.annotations.findings import Defect, Findings
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
    name: str, path: Path, shown: str, labels: Labels, findings: Findings
) -> List[Record]:
    """Read annotations in the format of that name; see `Format.read`.

    Raises:
        Defect: nothing can be read; it says so where the file is in one of the other formats.
    """
    try:
        return annotation_format(name).read(path, shown, labels, findings)
    except Defect as defect:
        others = [other for other in FORMATS if other != name]
        meant = next((o for o in others if annotation_format(o).recognises(path)), None)
        if meant is None:
            raise
        what = f"is a {FORMATS[meant]} file, not a {FORMATS[name]} file"
        raise Defect(what, f'set the dataset\'s format to "{meant}"') from defect
