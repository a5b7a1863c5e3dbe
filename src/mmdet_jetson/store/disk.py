"""What a disk is asked to keep, also after a power cut."""

import os
from pathlib import Path
from typing import IO


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
