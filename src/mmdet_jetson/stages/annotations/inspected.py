"""What was found in pictures by the last run, so that no picture is decoded twice.

A picture goes by the SHA-256 of its file: the same file gives the same.
"""

import struct
from pathlib import Path
from typing import Dict, Mapping, Optional, Union

from mmdet_jetson.stages.annotations.fingerprints import Fingerprint
from mmdet_jetson.stages.annotations.notes import read_notes, write_notes
from mmdet_jetson.stages.annotations.pictures import Inspection

_ROW = struct.Struct("<32s32sQiiBB1024s")
"""SHA-256 of the file, digest of the pixels, hash, width, height, orientation, plain, cells."""


class Inspected:
    """Inspections by the SHA-256 of files, in hex."""

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        self._rows = memoryview(read_notes(path))
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
        assert self._path
        write_notes(self._path, b"".join(self._row(*each) for each in found.items()))

    def _row(self, sha256: str, found: Inspection) -> Union[bytes, memoryview]:
        at = self._index.get(sha256)
        if at is not None:
            return self._rows[at : at + _ROW.size]
        return _ROW.pack(
            bytes.fromhex(sha256),
            bytes.fromhex(found.digest),
            found.fingerprint.bits,
            found.width,
            found.height,
            found.orientation,
            found.plain,
            found.fingerprint.cells,
        )
