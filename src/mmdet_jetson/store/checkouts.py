"""Large directories checked out once, for all jobs that read them.

A training, each evaluation and each build with calibration read the same 50 GB, and a copy for each
takes longer than some of them. So a job's folder has a link to ``checkouts/NAME/TITLE``, which is
named by the directory's content. It is there as long as a job's folder has such a link, and beyond
that until ``gc``.

Nobody should write there, and files are read-only, but whoever may remove them may change them,
too. So the size, the time of change and the inode of each are noted, and looked at before each use:
what is not as it was left is made again. A checkout of which most is in another takes these files
by hard links, since they are equally read-only and equally looked after.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from mmdet_jetson.files import move_new, remove
from mmdet_jetson.locks import hold, hold_if_free, lock_beside
from mmdet_jetson.store.artifact import Entry, Layer
from mmdet_jetson.store.sharding import WORKERS

FOLDER = "checkouts"
_NOTES = ".files"


class Noted(NamedTuple):
    """A file as it was left: its SHA-256 in hex, and what changes with its content."""

    sha256: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Unused:
    """A checkout that no job reads. ``size`` is in bytes, of what no other checkout has."""

    path: Path
    size: int


class Checkouts:
    """The shared checkouts of one store.

    ``unpack`` creates a directory's part in a folder from one of its layers; ``files`` tells the
    SHA-256 of each file in one.
    """

    def __init__(
        self,
        root: Path,
        unpack: Callable[[Layer, Path], None],
        files: Callable[[Layer], Mapping[str, str]],
    ) -> None:
        self._jobs, self._folder = root / "jobs", root / FOLDER
        self._unpack, self._files = unpack, files

    def link(self, entry: Entry, place: Path) -> None:
        """Make ``place`` a link to a checkout of a directory, which is made if there is none."""
        checkout = (
            self._folder / sha256(f"{entry.title}\0{entry.content}".encode()).hexdigest()[:32]
        )
        with hold(lock_beside(checkout)):
            if not _is_as_left(checkout / entry.title, _notes(checkout)):
                self._make(entry, checkout)
            place.symlink_to((checkout / entry.title).resolve())

    def unused(self) -> Iterator[Unused]:
        """The checkouts that no job's folder has a link to."""
        used = self._used()
        for checkout in self._all():
            if checkout.resolve() not in used:
                yield Unused(checkout, _size(checkout))

    def forget(self) -> int:
        """Remove the checkouts that no job's folder has a link to; returns the bytes freed."""
        size = 0
        for unused in self.unused():
            with hold_if_free(lock_beside(unused.path)) as held:
                if held and unused.path.resolve() not in self._used():
                    size += unused.size
                    _notes_of(unused.path).unlink(missing_ok=True)
                    remove(unused.path)
        for left in self._folder.glob(".*.partial"):  # of a process that was killed
            with hold_if_free(lock_beside(left.with_name(left.name[1 : -len(".partial")]))) as held:
                if held:
                    remove(left)
        return size

    def _make(self, entry: Entry, checkout: Path) -> None:
        partial_folder = checkout.with_name(f".{checkout.name}.partial")
        for left in (partial_folder, checkout):
            remove(left)
        _notes_of(checkout).unlink(missing_ok=True)
        partial_folder.mkdir(parents=True)
        try:
            files = self._fill(entry, partial_folder)
            _note(partial_folder / entry.title, files, _notes_of(checkout))
            move_new(partial_folder, checkout)
        finally:
            shutil.rmtree(partial_folder, ignore_errors=True)

    def _fill(self, entry: Entry, folder: Path) -> dict[str, str]:
        """Link what another checkout has, and unpack the rest; returns all files' SHA-256."""
        listed = [(layer, self._files(layer)) for layer in entry.layers]
        files = {path: digest for _, inside in listed for path, digest in inside.items()}
        there = self._there(set(files.values())) if any(self._all()) else {}
        lacking: list[Layer] = []
        for layer, inside in listed:
            if all(digest in there for digest in inside.values() if digest):
                _link_all(inside, there, folder / entry.title)
            else:
                lacking.append(layer)
        with ThreadPoolExecutor(WORKERS) as pool:
            for _ in pool.map(partial(self._unpack_into, folder), lacking):
                pass
        return files

    def _unpack_into(self, folder: Path, layer: Layer) -> None:
        self._unpack(layer, folder)

    def _there(self, wanted: set[str]) -> dict[str, Path]:
        """Files of other checkouts by their SHA-256, those that are as they were left."""
        there: dict[str, Path] = {}
        for checkout in self._all():
            for directory in checkout.iterdir():
                for path, noted in _notes(checkout).items():
                    if noted.sha256 in wanted and _stamp(directory / path) == noted[1:]:
                        there[noted.sha256] = directory / path
        return there

    def _all(self) -> list[Path]:
        return [path for path in sorted(self._folder.glob("[!.]*")) if path.is_dir()]

    def _used(self) -> set[Path]:
        links = [path for path in self._jobs.glob("*/inputs/*/*") if path.is_symlink()]
        return {path.resolve().parent for path in links}


def digests(folder: Path) -> dict[Path, str]:
    """SHA-256 in hex of those files in a job's input that lie in shared checkouts, as left there.

    They are named as they are found below ``folder``, through its links.
    """
    found = {}
    for link in folder.iterdir():
        if link.is_symlink() and (place := link.resolve()).parent.parent.name == FOLDER:
            for path, noted in _notes(place.parent).items():
                if _stamp(place / path) == noted[1:]:
                    found[link / path] = noted.sha256
    return found


def _link_all(files: Mapping[str, str], there: Mapping[str, Path], folder: Path) -> None:
    for path, digest in files.items():
        target = folder / path
        (target if path.endswith("/") else target.parent).mkdir(parents=True, exist_ok=True)
        if digest:
            os.link(there[digest], target)


def _is_as_left(folder: Path, notes: Mapping[str, Noted]) -> bool:
    """Whether a folder holds the files that were noted, as they were then, and no others."""
    if not notes or not folder.is_dir():
        return False
    found = 0
    for at, _, names in os.walk(folder):
        inside = os.path.relpath(at, folder)
        for name in names:
            noted = notes.get(name if inside == "." else f"{inside}/{name}")
            if noted is None or _stamp(Path(at, name)) != noted[1:]:
                return False
            found += 1
    return found == len(notes)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _notes_of(checkout: Path) -> Path:
    return checkout.with_name(checkout.name + _NOTES)


def _note(folder: Path, files: Mapping[str, str], notes: Path) -> None:
    fields = []
    for path, digest in files.items():
        if digest and (stamp := _stamp(folder / path)):
            fields += [path, digest, *map(str, stamp)]
    body = "\0".join(fields).encode("utf-8", "surrogateescape")
    notes.write_bytes(sha256(body).hexdigest().encode() + body)


def _notes(checkout: Path) -> dict[str, Noted]:
    """What was noted of each file; nothing where the notes are damaged."""
    with suppress(OSError, ValueError):
        content = _notes_of(checkout).read_bytes()
        if sha256(content[64:]).hexdigest().encode() == content[:64]:
            fields = content[64:].decode("utf-8", "surrogateescape").split("\0")
            rows = zip(*(fields[at::5] for at in range(5)), strict=True)
            return {
                path: Noted(digest, int(size), int(changed), int(inode))
                for path, digest, size, changed, inode in rows
            }
    return {}


def _size(checkout: Path) -> int:
    """Bytes of the files that would be freed: a hard link of another checkout's frees none."""
    stats = (Path(at, name).lstat() for at, _, names in os.walk(checkout) for name in names)
    return sum(status.st_size for status in stats if status.st_nlink == 1)
