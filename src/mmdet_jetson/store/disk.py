"""What a disk is asked to keep, also after a power cut."""

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

_LIBRARY = ctypes.CDLL(None)
_WRITE = 2  # SYNC_FILE_RANGE_WRITE


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


def sync_files(folder: Path, files: Iterable[Path]) -> None:
    """Have the disk keep files below a folder: all at once where the system can do that.

    Of thousands of small files, asking for each one takes longer than writing them. One that is
    not there any more was renamed by who synced it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _sync_file_system(handle):
            for path in files:
                with suppress(FileNotFoundError):
                    sync_folder(path)
    finally:
        os.close(handle)


def _sync_file_system(handle: int) -> bool:
    """Call Linux's ``syncfs``; False where the C library has none, or it fails."""
    call = getattr(_LIBRARY, "syncfs", None)
    return call is not None and call(handle) == 0


def start_writing(handle: int, start: int, size: int) -> None:
    """Ask for a part of a file to be written soon: a sync at the end has little to wait for then.

    Nothing is promised by it, and where it cannot be asked (``sync_file_range`` is Linux's),
    nothing happens.
    """
    call = getattr(_LIBRARY, "sync_file_range", None)
    if call is not None:
        call(handle, ctypes.c_int64(start), ctypes.c_int64(size), _WRITE)
