"""Folders on their way into and out of containers, as tars that are never whole in memory."""

import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmdet_jetson.fetching.archive import unpack
from mmdet_jetson.files import remove

_CHUNK = 1 << 20


def pack(folder: Path, name: str, owner: int = 0) -> Iterator[bytes]:
    """Stream ``folder`` as the tar of a folder ``name``, without times, and all of ``owner``.

    A link to a file is packed as that file, as its digest counts it too.
    """
    yield _header(name, tarfile.DIRTYPE, 0, owner)
    for parent, folders, files in os.walk(folder):
        folders.sort()
        inside = Path(name, Path(parent).relative_to(folder))
        for each in folders:
            yield _header(f"{inside / each}", tarfile.DIRTYPE, 0, owner)
        for each in sorted(files):
            yield from pack_file(Path(parent, each), f"{inside / each}", owner)


def pack_file(path: Path, name: str, owner: int = 0) -> Iterator[bytes]:
    """Stream one file as a member ``name`` of a tar."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        yield _header(name, tarfile.REGTYPE, size, owner)
        left = size
        while left and (chunk := stream.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk
    if left:
        raise OSError(f"{path} was cut short while it was read")
    yield bytes(-size % tarfile.BLOCKSIZE)


def pack_mark(name: str) -> Iterator[bytes]:
    """Stream an empty file."""
    yield _header(name, tarfile.REGTYPE, 0, 0)


def ended(*parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join packed folders and files into one tar with its end."""
    for part in parts:
        yield from part
    yield bytes(2 * tarfile.BLOCKSIZE)


def receive(chunks: Iterable[bytes], into: Path) -> None:
    """Put what a container's engine packs, one file or folder, at ``into``; all of it or nothing.

    Every member is checked before anything is written, as in an archive from elsewhere: what comes
    out of a container is as good as what ran in it.

    Raises:
        UserError: it holds a link, a special file or a path that leads outside.
    """
    arriving = into.with_name(f".{into.name}.arriving")
    remove(arriving)
    arriving.mkdir(parents=True)
    try:
        with (arriving / "packed.tar").open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        unpack(arriving / "packed.tar", arriving / "unpacked")
        (content,) = (arriving / "unpacked").iterdir()
        remove(into)
        content.rename(into)
    finally:
        shutil.rmtree(arriving)


def _header(name: str, kind: bytes, size: int, owner: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.uid, info.gid = kind, size, owner, owner
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
