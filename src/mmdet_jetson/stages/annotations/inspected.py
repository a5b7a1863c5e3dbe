"""What was found in pictures by the last run, so that no picture is decoded twice.

A picture goes by the SHA-256 of its file: the same file gives the same. A file like this is one
environment's and one version's of the stage, for whoever keeps it; it may be lost at any time.
"""

import hashlib
import struct
from pathlib import Path
from typing import Dict, Mapping, Optional

from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.stages.annotations.fingerprints import Fingerprint
from mmdet_jetson.stages.annotations.pictures import Inspection

_ROW = struct.Struct("<32s32sQiiBB1024s")
"""SHA-256 of the file, digest of the pixels, hash, width, height, orientation, plain, cells."""
_CHECKSUM = 32


class Inspected:
    """Inspections by the SHA-256 of files, in hex."""

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        self._rows = _read(path) if path else memoryview(b"")
        starts = range(0, len(self._rows), _ROW.size)
        self._index: Dict[str, int] = {self._rows[at : at + 32].hex(): at for at in starts}

    def find(self, sha256: str) -> Optional[Inspection]:
        """What was found in a file; None where it was not seen before."""
        at = self._index.get(sha256)
        if at is None:
            return None
        _, digest, bits, width, height, orientation, plain, cells = _ROW.unpack_from(self._rows, at)
        return Inspection(
            width=width,
            height=height,
            digest=digest.hex(),
            plain=bool(plain),
            orientation=orientation,
            fingerprint=Fingerprint(bits, cells),
        )

    def has(self, sha256: str) -> bool:
        """Whether a file was seen before."""
        return sha256 in self._index

    def keep(self, found: Mapping[str, Inspection]) -> None:
        """Write what this run found, for the next; what it did not need any more is forgotten."""
        body = b"".join(
            _ROW.pack(
                bytes.fromhex(sha256),
                bytes.fromhex(each.digest),
                each.fingerprint.bits,
                each.width,
                each.height,
                each.orientation,
                each.plain,
                each.fingerprint.cells,
            )
            for sha256, each in found.items()
        )
        assert self._path
        write_whole(self._path, hashlib.sha256(body).digest() + body)


def _read(path: Path) -> memoryview:
    nothing = memoryview(b"")
    if not path.exists():
        return nothing
    content = path.read_bytes()
    body = memoryview(content)[_CHECKSUM:]
    if hashlib.sha256(body).digest() != content[:_CHECKSUM] or len(body) % _ROW.size:
        return nothing
    return body
