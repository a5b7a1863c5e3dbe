"""Files: written whole or not at all, and read where they are."""

import os
from pathlib import Path


def text_of(file: Path) -> str:
    """Read what only some machines tell, as the kernel's and JetPack's files; empty elsewhere."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a name of its own, have the disk keep it, and rename it into place.

    Whoever reads ``path`` finds the old content or the new, never a part, also after a kill or a
    power cut. Two writers at once do not disturb each other: the later one wins.

    Raises:
        OSError: the disk is full or cannot be written; ``path`` is as it was.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except BaseException:
        if unfinished.exists():
            unfinished.unlink()
        raise
