"""Unpack an archive from elsewhere: every member is checked before anything is written.

Not ``tarfile.data_filter``, which older Pythons lack and zip archives never meet: it lets links
through and mends absolute names, where data needs neither and we refuse both. Contents are written
by us, so no mode, owner or special file comes along.
"""

import re
import shutil
import unicodedata
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.fetching.archive_members import Member, damage_named, members
from mmdet_jetson.locks import hold, lock_beside

_CHUNK = 1 << 20
# Below this, a high ratio is a small text, not a bomb.
_HARMLESS_BYTES = 64 << 20
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class _Limits:
    """What an archive may unpack to."""

    max_bytes: int
    max_files: int
    max_ratio: int
    packed_bytes: int
    portable: bool

    def exceeded(self, unpacked_bytes: int, files: int) -> str:
        """Say which limit so many bytes and files exceed, or nothing."""
        if files > self.max_files:
            return f"is one more than the {self.max_files:,} files allowed"
        if unpacked_bytes > self.max_bytes:
            return f"brings it over the {self.max_bytes:,} bytes allowed"
        if unpacked_bytes > max(_HARMLESS_BYTES, self.max_ratio * self.packed_bytes):
            return f"brings it over {self.max_ratio} times its packed size, which looks like a bomb"
        return ""


@dataclass
class _Names:
    """The names met so far; portable ones as a file system sees them that ignores case and form."""

    portable: bool
    files: set[str] = field(default_factory=set)
    folders: dict[str, str] = field(default_factory=dict)

    def clash(self, parts: list[str], *, is_folder: bool) -> str:
        """Say what the name clashes with, or nothing; remember it."""
        folders = ["/".join(parts[:depth]) for depth in range(1, len(parts) + is_folder)]
        for spelling in folders:
            folded = self._folded(spelling)
            if folded in self.files:
                return "needs a folder where there is a file"
            if self.folders.setdefault(folded, spelling) != spelling:
                return f"differs from {self.folders[folded]!r} only in case"
        if is_folder:
            return ""
        folded = self._folded("/".join(parts))
        if folded in self.files:
            return "is there twice" + (", or twice but for case" if self.portable else "")
        if folded in self.folders:
            return "is there both as a file and as a folder"
        self.files.add(folded)
        return ""

    def _folded(self, name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold() if self.portable else name


def unpack(
    archive: Path,
    into: Path,
    *,
    max_bytes: int = 128 << 30,
    max_files: int = 200_000,
    max_ratio: int = 200,
    portable: bool = True,
) -> None:
    """Unpack a zip or tar archive (plain, gz, xz or bz2) so that ``into`` is there whole or not.

    The contents grow in a hidden folder beside ``into`` and are renamed at the end, under a lock:
    what a killed run left is cleared by the next one, and of two that race the second finds the
    first one's folder. An ``into`` that exists is therefore complete and left as it is. (A power
    cut may still lose contents: pictures are too many to fsync each.)

    Args:
        archive: the file; its format is told by its content.
        into: the folder to make.
        max_bytes: of all contents together (COCO's largest, ``unlabeled2017``: 19 GB).
        max_files: files and folders (COCO's largest: 123,000).
        max_ratio: unpacked bytes over packed bytes; not counted below 64 MiB.
        portable: refuse names that mean another file, or one file twice, elsewhere than on Linux.

    Raises:
        UserError: what is wrong, with the archive and the member; nothing is left behind.
    """
    unfinished = into.with_name(f".{into.name}.unpacking")
    with _disk_named(archive, into), hold(lock_beside(unfinished)):
        try:
            if not into.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                limits = _Limits(max_bytes, max_files, max_ratio, archive.stat().st_size, portable)
                _unpack(archive, unfinished, limits)
                unfinished.rename(into)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _disk_named(archive: Path, into: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{archive} cannot be unpacked into {into}: {error.strerror or error}",
            "check that both can be read and written, and that the disk has room",
        ) from error


def _unpack(archive: Path, into: Path, limits: _Limits) -> None:
    # Kept by nobody: a member in a variable would hold the whole first listing in memory.
    deque(_checked(archive, limits), maxlen=0)
    into.mkdir()
    for member, parts in _checked(archive, limits):
        target = into.joinpath(*parts)
        if member.is_folder:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(archive, member, target)


def _checked(archive: Path, limits: _Limits) -> Iterator[tuple[Member, list[str]]]:
    """Yield each member that passes every check, with the parts of its path."""
    names = _Names(limits.portable)
    unpacked_bytes = 0
    with closing(members(archive)) as found:
        for count, member in enumerate(found, 1):
            unpacked_bytes += member.size
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            problem = (
                member.defect
                or _bad_name(member, parts, portable=limits.portable)
                or names.clash(parts, is_folder=member.is_folder)
                or limits.exceeded(unpacked_bytes, count)
            )
            if problem:
                _refuse(archive, member, problem)
            yield member, parts


def _bad_name(member: Member, parts: list[str], *, portable: bool) -> str:
    if member.name.startswith("/"):
        return "has an absolute path"
    if portable and _DRIVE.match(member.name):
        return "has a drive letter"
    if ".." in parts:
        return "would leave the folder"
    if "\0" in member.name or (portable and "\\" in member.name):
        return "has a backslash or a zero byte in its name"
    if not parts and not member.is_folder:
        return "has no name"
    return ""


def _write(archive: Path, member: Member, target: Path) -> None:
    left = member.size
    with damage_named(archive, member.name), member.open() as source, target.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                _refuse(archive, member, f"holds more than the {member.size:,} bytes it declares")
            sink.write(chunk)
    if left:
        _refuse(archive, member, f"holds fewer than the {member.size:,} bytes it declares")


def _refuse(archive: Path, member: Member, problem: str) -> None:
    raise UserError(
        f"{archive} was not unpacked: its member {member.name!r} {problem}",
        "if you trust the archive, unpack it yourself and name the folder, or pack its files again "
        "without that member or under another name",
    )
