"""Tar archives whose bytes depend on names and contents alone, on every machine.

Times, owners' names and modes of this machine stay out of them. Each function gives a part of an
archive, block by block, so that no file is ever whole in memory; `archive` joins parts.
"""

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmdet_jetson.errors import UserError

BLOCK = 1 << 20  # bytes
END = bytes(2 * tarfile.BLOCKSIZE)


def archive(*parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join parts to a whole archive, which ends at its two zero blocks."""
    for part in parts:
        yield from part
    yield END


def folder(path: Path, name: str, owner: int = 0) -> Iterator[bytes]:
    """Give a folder and all that is in it, sorted, under a name; ``owner`` is a user's id.

    A link becomes what it leads to; one that leads back to where it came from, an empty folder.

    Raises:
        UserError: a file changed while it was read.
    """
    for inside, source in walk(path, name):
        yield from file(source, inside, owner) if source else [directory(inside, owner)]


def walk(path: Path, name: str) -> Iterator[tuple[str, Path | None]]:
    """Name what `folder` gives, in that order, with the file that each is; a folder is none."""
    return _walk(path, name, (path.resolve(),))


def _walk(path: Path, name: str, through: tuple[Path, ...]) -> Iterator[tuple[str, Path | None]]:
    """Name what is in a folder; ``through`` are the real places of the links that led to it."""
    yield name, None
    for each in sorted(path.iterdir()):
        inside = f"{name}/{each.name}"
        if not each.is_dir():
            yield inside, each
        elif not each.is_symlink():
            yield from _walk(each, inside, through)
        elif (real := each.resolve()) in through:
            yield inside, None
        else:
            yield from _walk(each, inside, (*through, real))


def file(
    path: Path,
    name: str,
    owner: int = 0,
    mode: int = 0o644,
    hear: Callable[[bytes], object] = lambda _: None,
) -> Iterator[bytes]:
    """Give one file under a name; ``hear`` is told what is read of it.

    Raises:
        UserError: it changed while it was read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        yield _header(name, tarfile.REGTYPE, mode, size, owner)
        left = size
        while left and (block := stream.read(min(left, BLOCK))):
            left -= len(block)
            hear(block)
            yield block
        if left or stream.read(1):
            raise UserError(f"{path} changed while it was read", "run again")
    yield bytes(-size % tarfile.BLOCKSIZE)


def directory(name: str, owner: int = 0) -> bytes:
    """Give a folder under a name, without what is in it."""
    return _header(name, tarfile.DIRTYPE, 0o755, 0, owner)


def small_file(name: str, content: bytes = b"") -> bytes:
    """Give a file under a name whose content is in memory; an empty one if none is given."""
    padding = bytes(-len(content) % tarfile.BLOCKSIZE)
    return _header(name, tarfile.REGTYPE, 0o644, len(content), 0) + content + padding


def _header(name: str, kind: bytes, mode: int, size: int, owner: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, size
    member.uid = member.gid = owner
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
