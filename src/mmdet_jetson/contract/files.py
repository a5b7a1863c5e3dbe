"""Files: written whole or not at all, and read where they are."""

import errno
import os
import secrets
import stat
from pathlib import Path


class SpecialFile(OSError):
    """What is named as a file is a pipe, a socket or a device."""


def refuse_special(path: Path) -> None:
    """Look, before a file is opened, that reading it comes to an end.

    A pipe waits for who writes to it, perhaps for ever, and can be read once only; a device may
    have no end.

    Raises:
        SpecialFile: it does not; its ``strerror`` says why.
        OSError: there is nothing to look at.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SpecialFile(errno.EINVAL, "it is a pipe, a socket or a device", str(path))


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
    # Not by the process: on a shared file system another machine has one of the same number.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
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
