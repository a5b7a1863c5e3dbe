"""Files and folders of this machine: what a disk can refuse, and how a folder is removed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdet_jetson.errors import UserError

_FREE = "free some space (`invoke gc` drops what nothing needs) and run again"
_REFUSALS = {
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("the disk quota is used up", _FREE),
    errno.EROFS: ("the file system is read-only", "set MMDET_JETSON_ARTIFACTS to another folder"),
    errno.ENOTDIR: ("a part of its path is a file, not a folder", "name another folder"),
    errno.EACCES: ("permission is missing", "check who owns the folder and its files"),
    errno.EPERM: ("permission is missing", "check who owns the folder and its files"),
}


@contextmanager
def disk_errors(what: Path | str) -> Iterator[None]:
    """Turn what a disk can refuse into a sentence about the file, or else about ``what``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        reason, hint = _REFUSALS[error.errno]
        raise UserError(f"cannot read or write {error.filename or what}: {reason}", hint) from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it where they are missing.

    Raises:
        UserError: it lies where folders cannot be created, such as below ``/proc``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError) as error:
        raise UserError(
            f"the folder {folder} cannot be created: {error.strerror}", "name another one"
        ) from error


def remove(path: Path) -> None:
    """Remove a file or a folder, read-only folders in it included; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o755)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
