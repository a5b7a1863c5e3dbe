"""What is known of a dataset's pictures and objects before any of them is looked at."""

from pathlib import Path
from typing import Dict, Mapping, Optional

from mmdet_jetson.stages.annotations.extents import Extents
from mmdet_jetson.stages.annotations.inspected import Inspected
from mmdet_jetson.stages.annotations.near_duplicates import KnownPairs
from mmdet_jetson.stages.annotations.picture_folder import PictureFolder
from mmdet_jetson.stages.annotations.pictures import Inspection, inspect
from mmdet_jetson.stages.annotations.readings import Readings


class Known:
    """The pictures of an input whose files are known by their SHA-256, and what was found in them.

    ``digests`` are those of files below ``folder``, by their paths with slashes; without any,
    every picture is looked at and nothing is known. ``last`` is the folder of what earlier runs
    found, and this one leaves.
    """

    def __init__(self, folder: Path, digests: Mapping[str, str], last: Optional[Path]) -> None:
        self._start, self._digests, self._last = f"{folder}/", digests, last
        self._inspected = Inspected(last / "pictures.bin" if last else None)
        self.extents = Extents(last / "extents.txt" if last else None)
        self.readings = Readings(last / "readings.json" if last else None, self.extents)
        self.pairs = KnownPairs(last / "pairs.json" if last else None)
        self._folders: Dict[Path, PictureFolder] = {}
        self._found: Dict[str, Inspection] = {}

    def folder(self, path: Path) -> PictureFolder:
        """The pictures in a folder, which is walked through once."""
        if path not in self._folders:
            self._folders[path] = PictureFolder(path)
        return self._folders[path]

    def inspect(self, path: Path) -> Inspection:
        """As `pictures.inspect`, but of a file that was seen before by what was found then."""
        inside = self.inside(path)
        if inside is None:
            return inspect(path)
        sha256 = self._digests[inside]
        found = self._inspected.find(sha256)
        self._found[sha256] = inspect(path) if found is None else found
        return self._found[sha256]

    def has_seen(self, path: Path) -> bool:
        """Whether a file's content was inspected by an earlier run."""
        inside = self.inside(path)
        return inside is not None and self._inspected.has(self._digests[inside])

    def inside(self, path: Path) -> Optional[str]:
        """Where a file lies in the input, if its SHA-256 is known; None else."""
        place = str(path)
        inside = place[len(self._start) :]
        return inside if place.startswith(self._start) and inside in self._digests else None

    def keep(self) -> None:
        """Leave what was found for the next run."""
        if self._digests and self._last:
            self._last.mkdir(exist_ok=True)
            self._inspected.keep(self._found)
            self.readings.keep()
            self.extents.keep()
            self.pairs.keep()
