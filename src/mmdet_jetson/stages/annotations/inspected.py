"""What was found in pictures by the last run, so that no picture is decoded twice.

A picture goes by the SHA-256 of its file: the same file gives the same. A file like this is one
environment's and one version's of the stage, for whoever keeps it; it may be lost at any time.
"""

import hashlib
from pathlib import Path
from typing import Dict, Mapping, Optional

import numpy as np

from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.stages.annotations.fingerprints import Fingerprint
from mmdet_jetson.stages.annotations.pictures import Inspection

_ROW = np.dtype(
    [
        ("sha256", "V32"),
        ("digest", "V32"),
        ("bits", "<u8"),
        ("width", "<i4"),
        ("height", "<i4"),
        ("orientation", "u1"),
        ("plain", "u1"),
        ("cells", "V1024"),
    ]
)
_CHECKSUM = 32


class Inspected:
    """Inspections by the SHA-256 of files, in hex."""

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        self._rows = _read(path) if path else np.zeros(0, _ROW)
        self._index: Dict[bytes, int] = {
            bytes(each): number for number, each in enumerate(self._rows["sha256"])
        }

    def find(self, sha256: str) -> Optional[Inspection]:
        """What was found in a file; None where it was not seen before."""
        number = self._index.get(bytes.fromhex(sha256))
        if number is None:
            return None
        row = self._rows[number]
        return Inspection(
            width=int(row["width"]),
            height=int(row["height"]),
            digest=bytes(row["digest"]).hex(),
            plain=bool(row["plain"]),
            orientation=int(row["orientation"]),
            fingerprint=Fingerprint(int(row["bits"]), bytes(row["cells"])),
        )

    def keep(self, found: Mapping[str, Inspection]) -> None:
        """Write what this run found, for the next; what it did not need any more is forgotten."""
        rows = np.zeros(len(found), _ROW)
        for row, (sha256, each) in zip(rows, found.items()):
            row["sha256"] = np.void(bytes.fromhex(sha256))
            row["digest"] = np.void(bytes.fromhex(each.digest))
            row["bits"] = each.fingerprint.bits
            row["width"], row["height"] = each.width, each.height
            row["orientation"], row["plain"] = each.orientation, each.plain
            row["cells"] = np.void(each.fingerprint.cells)
        body = rows.tobytes()
        assert self._path
        write_whole(self._path, hashlib.sha256(body).digest() + body)


def _read(path: Path) -> np.ndarray:
    nothing: np.ndarray = np.zeros(0, _ROW)
    if not path.exists():
        return nothing
    content = path.read_bytes()
    body = memoryview(content)[_CHECKSUM:]
    if hashlib.sha256(body).digest() != content[:_CHECKSUM] or len(body) % _ROW.itemsize:
        return nothing
    rows: np.ndarray = np.frombuffer(body, _ROW)
    return rows
