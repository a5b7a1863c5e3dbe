"""Files and folders of this machine: what a disk can refuse, and how a folder is removed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmdet_jetson.errors import UserError

_FREE = "free some space there (`invoke gc` frees some in the store) and run again"
_READ_ONLY = "name another folder (MMDET_JETSON_ARTIFACTS names that of the store)"
_REFUSALS = {
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("the disk quota is used up", _FREE),
    errno.EROFS: ("the file system is read-only", _READ_ONLY),
    errno.ENAMETOOLONG: ("a name in it is too long", "name a shorter one"),
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


_PROBE = bytes(1_000_000)
"""Less than anything that is written into a folder that a user names."""


def folder_to_write(named: str, store: Path, *, new: bool = False) -> Path:
    """Give the path of a folder to write that a user named, having tried that it can be written.

    That is known before what belongs there is made, which may take hours. Nothing is left of it.
    The store's own folder is none: what lies in there may be collected as garbage.

    Raises:
        UserError: it is of the store, there can be none, or it should be ``new`` and exists.
    """
    folder = Path(named).expanduser().absolute()
    refuse_inside(store, folder, named, "name a folder elsewhere")
    if new and os.path.lexists(folder):
        raise UserError(f"{named} exists already", "name a folder that does not")
    if new and _real(store).is_relative_to(_real(folder)):
        raise UserError(f"{named} will hold this machine's store", "name a folder elsewhere")
    _try_to_write(folder, named)
    return folder


def refuse_inside(store: Path, path: Path, named: str, hint: str) -> None:
    """Refuse to write at a path that a user ``named`` where it is the store or lies inside it.

    Raises:
        UserError: it does; ``hint`` is what to try.
    """
    real, kept = _real(path), _real(store)
    if real.is_relative_to(kept):
        where = "" if real == kept else "inside "
        raise UserError(f"{named} is {where}this machine's store", hint)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _try_to_write(folder: Path, named: str) -> None:
    """Write something into a folder, or into the one where it would be made, and remove it."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with suppress(FileNotFoundError):
            folder.lstat()  # refuses a name that is too long
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(_PROBE)
            file.flush()
    except OSError as error:
        reason, _ = _REFUSALS.get(error.errno or 0, (error.strerror, ""))
        raise UserError(f"{named} cannot be written: {reason}", "name another folder") from error


def move_new(made: Path, folder: Path) -> None:
    """Give a finished folder its name in the same file system.

    Raises:
        UserError: something has that name by now.
    """
    try:
        made.rename(folder)
    except OSError as error:
        if not os.path.lexists(folder):
            raise
        raise UserError(f"{folder} exists by now", "name a folder that does not") from error


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
