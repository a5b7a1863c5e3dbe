"""Files in which a run of the dataset stage notes what it found, for its next run.

Such a file is one environment's and one version's of the stage, for whoever keeps it; it may be
lost at any time, and what is damaged counts as lost.
"""

import hashlib
from pathlib import Path
from typing import Optional

_CHECKSUM = 32


def read_notes(path: Optional[Path]) -> bytes:
    """What `write_notes` was given, nothing where there is no such file or where it is damaged."""
    if path is None or not path.exists():
        return b""
    content = path.read_bytes()
    body = content[_CHECKSUM:]
    return body if hashlib.sha256(body).digest() == content[:_CHECKSUM] else b""


def write_notes(path: Path, body: bytes) -> None:
    """Write notes behind their SHA-256; nothing waits for the disk to keep them.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    path.write_bytes(hashlib.sha256(body).digest() + body)
