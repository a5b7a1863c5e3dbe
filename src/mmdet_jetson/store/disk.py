"""What a disk is asked to keep, and what it can refuse."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmdet_jetson.errors import UserError

_FREE = "free some space (`invoke gc` drops what nothing needs) and run again"
_REFUSALS = {
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("the disk quota is used up", _FREE),
    errno.EROFS: ("the file system is read-only", "set MMDET_JETSON_ARTIFACTS to another folder"),
    errno.ENOTDIR: ("a part of its path is a file, no folder", "name a folder, or a new one"),
    errno.EACCES: ("permission is missing", "check who owns the folder and its files"),
    errno.EPERM: ("permission is missing", "check who owns the folder and its files"),
}


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn what a disk can refuse into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        reason, hint = _REFUSALS[error.errno]
        raise UserError(
            f"cannot read or write {error.filename or where}: {reason}", hint
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it where they are missing.

    Raises:
        UserError: it lies where folders cannot be made, such as below ``/proc``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError) as error:
        raise UserError(
            f"the folder {folder} cannot be made: {error.strerror}", "name another one"
        ) from error


def write(path: Path, content: bytes) -> None:
    """Write a file that outlives a power cut once it is renamed and its folder is synced."""
    with path.open("wb") as stream:
        stream.write(content)
        sync(stream)


def sync(stream: IO[bytes]) -> None:
    """Have the disk keep what was written to a file."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
