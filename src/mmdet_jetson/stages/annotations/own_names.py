"""Which picture an annotation file of its own belongs to, where tools name it in several ways."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Dict, List, Optional, Tuple

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.picture_folder import PictureFolder
from mmdet_jetson.stages.annotations.place import Place

# macOS puts a second file beside each on disks of other systems.
_OF_MACOS = "._"
_SEPARATOR = re.compile(r"[\\/]")


def files_below(path: Path, suffix: str) -> List[Tuple[Path, str]]:
    """A file by itself, or all files of a suffix below a folder, with names relative to it.

    Raises:
        Defect: the folder has none.
    """
    if not path.is_dir():
        return [(path, path.name)]
    # Links to folders are followed, as they are where pictures are looked for.
    walked = os.walk(path, followlinks=True)
    found = sorted(Path(at, name) for at, _, names in walked for name in names)
    kept = [file for file in found if file.suffix.lower() == suffix and file.is_file()]
    kept = [file for file in kept if not file.name.startswith(_OF_MACOS)]
    if not kept:
        raise Defect(f"is a folder without {suffix} files", "name the folder that has them")
    return [(file, file.relative_to(path).as_posix()) for file in kept]


class OwnNames:
    """The pictures of a folder by their names without suffix."""

    def __init__(self, pictures: Optional[Path]) -> None:
        below = PictureFolder(pictures).unlisted(()) if pictures and pictures.is_dir() else []
        names = [name for name in below if not PurePosixPath(name).name.startswith(_OF_MACOS)]
        self.names = names
        self._whole: Dict[str, List[str]] = {}
        self._last: Dict[str, List[str]] = {}
        for name in names:
            self._whole.setdefault(_stem(name), []).append(name)
            self._last.setdefault(PurePosixPath(name).stem, []).append(name)

    def of(self, stem: str) -> Optional[str]:
        """The one picture with that name without suffix, in the same folder if there are more."""
        found = self._whole.get(stem) or self._last.get(PurePosixPath(stem).name, [])
        return found[0] if len(found) == 1 else None

    def beside(self, stated: Optional[str], file: str, place: Place) -> str:
        """The picture of an annotation file: the one of the file's own name, else the stated one.

        A copied or renamed file often still states the name of then.
        """
        own = self.of(_stem(file))
        if own is None and not stated:
            raise Defect("names no picture, and none has its name", "put the picture beside it")
        if own is None:
            return stated or ""
        if stated and _base(stated) not in (PurePosixPath(own).name, PurePosixPath(own).stem):
            place.inside(f'{own}, not "{stated}"').warn(
                "the picture of the annotation file's own name was taken, not the one it states"
            )
        return own


def _base(name: str) -> str:
    return _SEPARATOR.split(name)[-1]


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).name else name
