"""The source that a stage runs: which files of ours those are, and their digest for its key.

A person edits files while a run goes on. So nothing here is remembered for longer than the files
stay as they are, and a stage on this machine runs from a copy that no edit reaches.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mmdet_jetson.planning.imported import Imported

NAME = "mmdet_jetson"
PACKAGE = Path(__file__).resolve().parents[1]
STAGE_SIDE = ("stages", "contract")
"""The folders that a stage's source can be in."""

_IMPORTED = Imported(NAME, others=("importlib",))

FileState = tuple[str, int, int, int, int]
"""Path, both times in nanoseconds, size and inode: an edit changes one of them, as Git knows."""


def source_digest(stage: str) -> str:
    """Digest of a stage's own source as it is now: its module, and all of ours that it imports."""
    return _tree(source_state()).digest(stage)


def source_state() -> tuple[FileState, ...]:
    """Tell one state of all stages' sources from another, without reading them."""
    return tuple(state for name in STAGE_SIDE for state in _states(PACKAGE / name))


def copy_source(stage: str, into: Path) -> str:
    """Copy a stage's source into a folder for ``PYTHONPATH``; return the digest of what is there.

    What the package itself holds is on the host side: its copy is empty.
    """
    files = _tree(source_state()).files(stage)
    root = into / NAME
    root.mkdir(parents=True)
    (root / "__init__.py").touch()
    for path, content in files.items():
        place = root / path.relative_to(PACKAGE)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return _digest(files)


def _states(folder: Path | str) -> Iterator[FileState]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "__pycache__":
                continue
            if entry.is_dir():
                yield from _states(entry.path)
                continue
            with suppress(FileNotFoundError):  # what an editor keeps beside a file for a moment
                found = entry.stat()
                times = found.st_mtime_ns, found.st_ctime_ns
                yield entry.path, *times, found.st_size, found.st_ino


@lru_cache(maxsize=1)
def _tree(state: tuple[FileState, ...]) -> "_Tree":
    folders: dict[Path, set[Path]] = {}
    for path in (Path(path) for path, *_ in state):
        folders.setdefault(path.parent, set()).add(path)
    return _Tree(folders)


@dataclass(frozen=True)
class _Tree:
    """The sources in one state. Stages share most files: each is read once for all."""

    folders: Mapping[Path, set[Path]]
    contents: dict[Path, bytes] = field(default_factory=dict)
    needed: dict[Path, tuple[Path, ...]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def digest(self, stage: str) -> str:
        if stage not in self.digests:
            self.digests[stage] = _digest(self.files(stage))
            _IMPORTED.keep()
        return self.digests[stage]

    def files(self, stage: str) -> dict[Path, bytes]:
        """The stage's module, every module of ours that it reaches, and the templates beside."""
        todo, seen = [PACKAGE / f"stages/{stage}.py"], set[Path]()
        while todo:
            path = todo.pop()
            if path not in seen:
                seen.add(path)
                self._read(path)
                todo += self.needed[path]
        return {path: self.contents[path] for path in sorted(seen)}

    def _read(self, path: Path) -> None:
        if path not in self.contents:
            content = path.read_bytes()
            needed = self._needed_by(path, content)
            exist = (each for each in needed if each in self.folders.get(each.parent, ()))
            self.needed[path] = tuple(exist)
            self.contents[path] = content

    def _needed_by(self, path: Path, content: bytes) -> Iterator[Path]:
        """What a file of ours reads, imports or has run before it; some of it may not exist."""
        if path.suffix != ".py":
            return
        if path.name != "__init__.py":  # which Python runs before any module beside it
            yield path.with_name("__init__.py")
        elif path.parent.parent != PACKAGE:
            yield path.parent.with_name("__init__.py")
        names = _IMPORTED.names(path, content)
        for name in names:
            package, *parts = name.split(".")
            if package == NAME and parts[:1] and parts[0] in STAGE_SIDE:
                target = PACKAGE.joinpath(*parts)
                yield from (target.with_suffix(".py"), target / "__init__.py")
        if path.name == "__init__.py" and "importlib" in names:
            # It loads its modules by names that are data: any of them may be what runs.
            yield from (each for each in self.folders[path.parent] if each.suffix == ".py")
        for each in self.folders[path.parent]:
            if each.name.endswith(".j2") and each.name.startswith(f"{path.stem}."):
                yield each


def _digest(files: Mapping[Path, bytes]) -> str:
    digest = hashlib.sha256()
    for path, content in files.items():
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + content)
    return digest.hexdigest()
