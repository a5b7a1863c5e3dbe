"""``oci-archive:FILE``: an OCI layout in a tar, which is read where it lies and written in one go.

Nothing is unpacked: of a tar without compression, a blob is a range of the file. Only the few names
that a layout has are taken, as plain files, so no member can lead anywhere.
"""

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors
from mmdet_jetson.locks import lock_in_place
from mmdet_jetson.registry.layout_place import LayoutPlace
from mmdet_jetson.registry.place import MANIFEST_BYTES, Content, OnBytes, PlaceError
from mmdet_jetson.store.disk import sync, sync_folder
from mmdet_jetson.store.intake import merged
from mmdet_jetson.store.layers import BLOCK
from mmdet_jetson.store.listing import EMPTY
from mmdet_jetson.store.oci import LAYOUT_VERSION, Descriptor, Index, canonical_json

_NAME = re.compile(r"(?:\./)?(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})")
_FOLDER = re.compile(r"(?:\./)?(?:\.|blobs|blobs/sha256)?/?")
MEMBERS = 300_000
"""More than the blobs and manifests of any transfer."""


@dataclass(frozen=True)
class _Range:
    start: int
    size: int


class _Slice:
    """A part of a file as a file of its own, as far as blobs are read."""

    def __init__(self, stream: BinaryIO, part: _Range) -> None:
        self._stream = stream
        self._part = part
        self._at = 0

    def seek(self, position: int) -> None:
        self._at = position

    def read(self, size: int) -> bytes:
        self._stream.seek(self._part.start + self._at)
        block = self._stream.read(max(0, min(size, self._part.size - self._at)))
        self._at += len(block)
        return block


class ArchiveFiles:
    """The files of a layout in a tar."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts = _parts(path)
        index = self._parts.get("index.json")
        if index is None or "oci-layout" not in self._parts:
            raise UserError(f"{path} holds no OCI layout", "name another archive")
        if index.size > MANIFEST_BYTES:
            raise UserError(f"the index in {path} is larger than 4 MB", "name another archive")
        with path.open("rb") as stream:
            content = _Slice(stream, index).read(index.size)
        try:
            self._index = msgspec.json.decode(content, type=Index)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"the index in {path} is none of OCI: {error}") from error

    def index(self) -> Index:
        """Give the index."""
        return self._index

    def size(self, digest: str) -> int | None:
        """How many bytes a blob has."""
        part = self._parts.get(_member(digest))
        return part.size if part else None

    @contextmanager
    def open(self, digest: str) -> Iterator[BinaryIO]:
        """Open a blob."""
        with self._path.open("rb") as stream:
            yield cast("BinaryIO", _Slice(stream, self._parts[_member(digest)]))


def _member(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _parts(path: Path) -> dict[str, _Range]:
    """Where each file of a layout is in a tar.

    Raises:
        UserError: it is no tar without compression, or holds something else.
    """
    parts: dict[str, _Range] = {}
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined] # else it keeps them all
                if member.isdir() and _FOLDER.fullmatch(member.name):
                    continue
                name = _checked(path, member, size)
                if name in parts or len(parts) > MEMBERS:
                    raise UserError(f"{path} holds {name} twice, or too much", "pack it again")
                parts[name] = _Range(member.offset_data, member.size)
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read as a tar without compression: {error}",
            "decompress it, or pack or fetch it again",
        ) from error
    return parts


def _checked(path: Path, member: tarfile.TarInfo, size: int) -> str:
    """Give the name of a member that a layout has."""
    name = _NAME.fullmatch(member.name)
    if not name or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise UserError(
            f"{path} was not read: its member {member.name!r} is no plain file of an OCI layout",
            "name an archive as `invoke push` or skopeo writes it",
        )
    if member.size < 0 or member.offset_data + member.size > size:
        raise UserError(f"{path} is cut short at {member.name!r}", "fetch or pack it again")
    return name[1]


class _Writing:
    """A tar that grows: what a layout holds, each file once."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self._parts: dict[str, _Range] = {}
        self._index = EMPTY

    def index(self) -> Index:
        return self._index

    def size(self, digest: str) -> int | None:
        part = self._parts.get(digest)
        return part.size if part else None

    @contextmanager
    def open(self, digest: str) -> Iterator[BinaryIO]:
        self._stream.flush()
        with self._path.open("rb") as stream:
            yield cast("BinaryIO", _Slice(stream, self._parts[digest]))

    def add(self, digest: str, size: int, blocks: Iterator[bytes]) -> None:
        """Append a blob; a `PlaceError` leaves a tar that is of no use."""
        start, made = self._begin(_member(digest), size), hashlib.sha256()
        for block in blocks:
            made.update(block)
            self._stream.write(block)
        if f"sha256:{made.hexdigest()}" != digest or self._stream.tell() != start + size:
            raise PlaceError(
                f"blob {digest[:19]} is damaged here: its content does not match its digest",
                "`invoke verify --mend` removes it, and the next run makes it again",
            )
        self._parts[digest] = _Range(start, size)
        self._end(size)

    def name(self, manifest: Descriptor, tags: Sequence[str]) -> None:
        entries = merged(self._index.manifests, [(manifest, tags)])
        self._index = msgspec.structs.replace(self._index, manifests=entries)

    def finish(self) -> None:
        for name, content in (
            ("index.json", canonical_json(self._index)),
            ("oci-layout", LAYOUT_VERSION),
        ):
            self._begin(name, len(content))
            self._stream.write(content)
            self._end(len(content))
        self._stream.write(bytes(2 * tarfile.BLOCKSIZE))
        sync(self._stream)

    def _begin(self, name: str, size: int) -> int:
        member = tarfile.TarInfo(name)
        member.size = size
        self._stream.write(member.tobuf(tarfile.PAX_FORMAT))
        return self._stream.tell()

    def _end(self, size: int) -> None:
        self._stream.write(bytes(-size % tarfile.BLOCKSIZE))


class NewArchive(LayoutPlace):
    """An archive that is being written; it is there once it is whole."""

    def __init__(self, name: str, writing: _Writing) -> None:
        super().__init__(name, writing)
        self._writing = writing

    def write(self, blob: Descriptor, source: Path, on_bytes: OnBytes) -> None:
        """Copy a blob from a file; one at a time, since they lie behind each other."""

        def blocks(stream: BinaryIO) -> Iterator[bytes]:
            while block := stream.read(BLOCK):
                on_bytes(len(block))
                yield block

        with self._guard, source.open("rb") as stream:
            if not self.has(blob):
                self._writing.add(blob.digest, blob.size, blocks(stream))

    def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
        """Add a manifest, and let the tags name it."""
        with self._guard:
            if not self.has(manifest.descriptor):
                content = manifest.content
                self._writing.add(manifest.descriptor.digest, len(content), iter([content]))
            self._writing.name(manifest.descriptor, tags)


@contextmanager
def read_archive(name: str, path: Path) -> Iterator[LayoutPlace]:
    """Open an archive to read.

    Raises:
        UserError: there is none, or it holds something else than an OCI layout.
    """
    if not path.is_file():
        raise UserError(f"there is no archive at {path}", "name the file of one")
    with disk_errors(path):
        yield LayoutPlace(name, ArchiveFiles(path))


@contextmanager
def write_archive(name: str, path: Path) -> Iterator[NewArchive]:
    """Write an archive beside its place, and give it that once it is whole; else nothing is left.

    Raises:
        UserError: there is one already, which would lose what it holds.
    """
    if os.path.lexists(path):
        raise UserError(
            f"{path} exists already, and an archive is written once", "name a file that does not"
        )
    beside = path.with_name(
        f".{path.name}.partial"
    )  # a killed push left it; the next one clears it
    with disk_errors(path.parent), _locked(beside, path):
        try:
            with beside.open("wb") as stream:
                writing = _Writing(beside, stream)
                yield NewArchive(name, writing)
                writing.finish()
            if os.path.lexists(path):
                raise UserError(f"{path} exists by now", "name a file that does not")
            beside.rename(path)
            sync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def _locked(beside: Path, path: Path) -> Iterator[None]:
    try:
        stream = beside.open("ab")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{path} cannot be written: there is no folder for it", "make the folder first"
        ) from error
    with stream:
        if not lock_in_place(stream, beside):
            raise UserError(f"another run is writing {path}", "wait for it")
        yield
