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
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from mmdet_jetson import tarballs

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


def pack(folder: Path, sink: Sink) -> str:
    """Write a directory as a layer; returns the digest of the tar inside it.

    Raises:
        ValueError: something in it is neither a file nor a directory. A link would point
            outside of the artifact, or to what the next machine does not have.
        UserError: a file changed while it was read.
    """
    _require_plain(folder)
    with gzip.GzipFile("", "wb", compresslevel=0, fileobj=sink, mtime=0) as compressed:  # type: ignore[call-overload]
        tar = HashingWriter(compressed)
        for block in tarballs.archive(tarballs.folder(folder, folder.name)):
            tar.write(block)
    return tar.digest


def copy_file(path: Path, sink: Sink) -> None:
    """Write a regular file to ``sink``; ``ValueError`` when it is anything else."""
    _require_regular(path)
    with path.open("rb") as source:
        shutil.copyfileobj(source, sink, BLOCK)


def unpack(blob: HashingReader, folder: Path, title: str) -> None:
    """Create ``folder/title`` from a directory layer.

    Only plain files and directories are ever created, in a folder that is new, so names are all
    that could lead outside of it; they are checked. Files are read-only.

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


def write_file(blob: HashingReader, path: Path) -> None:
    """Create a read-only file from a file layer; ``Damaged`` when it does not match its digest."""
    _create(path, blob)
    blob.finish()


def file_digests(blob: HashingReader) -> Iterator[tuple[str, str]]:
    """The path of every file in a directory layer, below the directory, and its SHA-256 in hex.

    Raises:
        Damaged: the blob is no such layer, or does not match its digest.
    """
    try:
        with tarfile.open(fileobj=blob, mode="r|gz", bufsize=BLOCK) as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                if (content := tar.extractfile(member)) is not None:
                    digest = hashlib.sha256()
                    while block := content.read(BLOCK):
                        digest.update(block)
                    yield member.name.partition("/")[2], digest.hexdigest()
                tar.members.clear()  # as above
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise Damaged("its archive cannot be unpacked") from error
    blob.finish()


def _require_plain(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _require_plain(path)
        else:
            _require_regular(path)


def _require_regular(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"an artifact holds plain files and directories only: {path}")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, title: str) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] != (title,):
        raise Damaged(f"its archive holds {member.name!r}, which lies outside of {title!r}")
    content = tar.extractfile(member) if member.isreg() else None
    if content:
        _create(folder / path, content)
    elif member.isdir():
        (folder / path).mkdir()
    else:
        raise Damaged(f"its archive holds {member.name!r}, which is no plain file")


def _create(path: Path, content: Source) -> None:
    with path.open("xb") as target:
        shutil.copyfileobj(content, target, BLOCK)
    path.chmod(READ_ONLY)
