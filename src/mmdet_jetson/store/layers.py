"""A file or a directory as one blob, and back.

A directory becomes a gzip-compressed tar whose names start with the directory's own, because
that is what ``oras pull`` unpacks. The tar is the same bytes on every machine: sorted names, no
times, no owners, and it ends at its two zero blocks (ORAS reads no further, and compares the
digest of what it read). Compression is level 0: what fills directories are pictures, which do
not compress, and zlib implementations differ in the bytes they write. Hence a layer's *content*
is the digest of the tar, not of the gzip stream around it.

Both directions hold one block of one file in memory, whatever the size of the directory.
"""

import gzip
import hashlib
import shutil
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from mmdet_jetson import tarballs
from mmdet_jetson.errors import UserError
from mmdet_jetson.store.shards import Entry, require_regular

BLOCK = 1 << 20
READ_ONLY = 0o444


class Damaged(Exception):
    """A blob is not what its digest says, or not what its layer says; the text says which."""


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object: ...  # noqa: D102


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int = ..., /) -> bytes: ...  # noqa: D102


class HashingWriter:
    """Passes bytes on, and knows their digest and number."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Pass ``data`` on; returns its length, as files do."""
        self._sink.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back; gzip asks nevertheless."""

    @property
    def digest(self) -> str:
        """The digest of everything written so far."""
        return f"sha256:{self._hash.hexdigest()}"


class HashingReader:
    """Reads a blob once, and checks it against its digest at the end."""

    def __init__(self, source: BinaryIO, digest: str) -> None:
        self._source = source
        self._digest = digest
        self._hash = hashlib.sha256()

    def read(self, size: int = BLOCK) -> bytes:
        """Read at most ``size`` bytes."""
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def finish(self) -> None:
        """Read what is left; raise ``Damaged`` when the whole does not have its digest."""
        while self.read():
            pass
        if f"sha256:{self._hash.hexdigest()}" != self._digest:
            raise Damaged("its content does not match its digest")


def pack_entries(title: str, entries: Iterable[Entry], sink: Sink) -> str:
    """Write sorted entries of a directory as a layer; returns the digest of the tar inside it.

    Raises:
        UserError: a file changed while it was read, or is not what its entry says.
    """
    with gzip.GzipFile("", "wb", compresslevel=0, fileobj=sink, mtime=0) as compressed:  # type: ignore[call-overload]
        return _write_tar(title, entries, compressed, None)


def pack_shard(title: str, entries: Iterable[Entry], sink: Sink) -> tuple[str, dict[str, str]]:
    """Write some sorted entries of a directory as a layer of its own.

    Returns the digest of the tar inside it, and the SHA-256 of each file. The same files are the
    same blob, whichever zlib is there: so shards are found again in a registry.

    Raises:
        UserError: a file changed while it was read, or is not what its entry says.
    """
    digests: dict[str, str] = {}
    compressed = _Stored(sink)
    unpacked = _write_tar(title, entries, compressed, digests)
    compressed.close()
    return unpacked, digests


def _write_tar(
    title: str, entries: Iterable[Entry], sink: Sink, digests: dict[str, str] | None
) -> str:
    tar = HashingWriter(sink)
    tar.write(tarballs.directory(title))
    inside: list[str] = []
    for entry in entries:
        *folders, name = entry.path.split("/")
        for depth, folder in enumerate(folders):
            if inside[depth : depth + 1] != [folder]:
                inside[depth:] = [folder]
                tar.write(tarballs.directory("/".join((title, *inside))))
        del inside[len(folders) :]
        if name:
            _write_entry(title, entry, tar, digests)
        elif digests is not None:
            digests[entry.path] = ""
    tar.write(tarballs.END)
    return tar.digest


def _write_entry(
    title: str, entry: Entry, tar: HashingWriter, digests: dict[str, str] | None
) -> None:
    told, size = hashlib.sha256(), 0

    def hear(block: bytes) -> None:
        nonlocal size
        size += len(block)
        told.update(block)

    for block in tarballs.file(Path(entry.source), f"{title}/{entry.path}", hear=hear):
        tar.write(block)
    digest = told.hexdigest()
    if size != entry.size or entry.sha256 not in ("", digest):
        raise UserError(f"{entry.source} changed while it was read", "run again")
    if digests is not None:
        digests[entry.path] = digest


class _Stored:
    """A gzip stream of blocks that are stored as they are (RFC 1951, 3.2.4)."""

    _MOST = 65535
    _HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, unknown system

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = bytearray()
        self._checksum = self._size = 0
        sink.write(self._HEAD)

    def write(self, data: bytes) -> int:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        self._held += data
        whole = len(self._held) - len(self._held) % self._MOST
        if whole:
            kept = bytes(self._held[:whole])
            del self._held[:whole]
            blocks = []
            for start in range(0, whole, self._MOST):
                blocks += [self._block(self._MOST, last=False), kept[start : start + self._MOST]]
            self._sink.write(b"".join(blocks))
        return len(data)

    def close(self) -> None:
        tail = struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF)
        self._sink.write(self._block(len(self._held), last=True) + bytes(self._held) + tail)

    @staticmethod
    def _block(length: int, *, last: bool) -> bytes:
        return struct.pack("<BHH", last, length, length ^ 0xFFFF)


def copy_file(path: Path, sink: Sink) -> None:
    """Write a regular file to ``sink``; ``ValueError`` when it is anything else."""
    require_regular(path, path.lstat().st_mode)
    with path.open("rb") as source:
        shutil.copyfileobj(source, sink, BLOCK)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hex; memory does not grow with it."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def unpack(blob: HashingReader, folder: Path, title: str) -> None:
    """Create ``folder/title`` from a directory layer.

    Only plain files and directories are ever created, in a folder that is new, so names are all
    that could lead outside of it; they are checked. Files are read-only. Shards of one directory
    are unpacked one after the other, or at once.

    Raises:
        Damaged: the blob is no such layer, or does not match its digest. What was created so
            far is the caller's to remove.
    """
    try:
        with tarfile.open(fileobj=blob, mode="r|gz", bufsize=BLOCK) as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                _extract(tar, member, folder, title)
                tar.members.clear()  # else it keeps every header, 1 kB a file
    except (tarfile.TarError, zlib.error, EOFError, ValueError, FileExistsError) as error:
        raise Damaged("its archive cannot be unpacked") from error
    blob.finish()


def file_digests(blob: HashingReader, *, folders: bool = False) -> Iterator[tuple[str, str]]:
    """The path of every file in a directory layer, below the directory, and its SHA-256 in hex.

    With ``folders``, empty folders are among them, with a slash behind their path and no SHA-256.

    Raises:
        Damaged: the blob is no such layer, or does not match its digest.
    """
    above = ""
    try:
        with tarfile.open(fileobj=blob, mode="r|gz", bufsize=BLOCK) as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                name = member.name.partition("/")[2]
                if folders and above and not name.startswith(above):
                    yield above, ""
                above = f"{name}/" if member.isdir() and name else ""
                if (content := tar.extractfile(member)) is not None:
                    digest = hashlib.sha256()
                    while block := content.read(BLOCK):
                        digest.update(block)
                    yield name, digest.hexdigest()
                tar.members.clear()  # as above
            if folders and above:
                yield above, ""
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise Damaged("its archive cannot be unpacked") from error
    blob.finish()


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, title: str) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] != (title,):
        raise Damaged(f"its archive holds {member.name!r}, which lies outside of {title!r}")
    content = tar.extractfile(member) if member.isreg() else None
    if content:
        create(folder / path, content)
    elif member.isdir():
        (folder / path).mkdir(exist_ok=True)
    else:
        raise Damaged(f"its archive holds {member.name!r}, which is no plain file")


def create(path: Path, content: Source) -> None:
    """Create a read-only file."""
    with path.open("xb") as target:
        shutil.copyfileobj(content, target, BLOCK)
    path.chmod(READ_ONLY)
