"""What a picture looks like, in a kilobyte, so that nearly equal ones are found among thousands.

All of it is computed in whole numbers, or in single operations that IEEE 754 rounds in one way: the
same pixels have the same fingerprint on every machine.
"""

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

SIDE = 32
"""Cells of a fingerprint each way."""
BITS = 64
_LOW = 8  # frequencies each way that the hash is of
_SAMPLES = 512  # of the shorter side at most: more do not change what a cell's mean says
_SCALE = 4096
_LUMINANCE = np.array([77, 150, 29], np.int64)  # ITU-R BT.601, of 256


@dataclass(frozen=True)
class Fingerprint:
    """``cells`` are the mean luminances of 32 by 32 parts, 0 to 255, row by row.

    ``bits`` is a perceptual hash of them.
    """

    bits: int
    cells: bytes

    @property
    def grid(self) -> np.ndarray:
        """The cells [32, 32], uint8."""
        return np.frombuffer(self.cells, np.uint8).reshape(SIDE, SIDE)


BLANK = Fingerprint(0, bytes(SIDE * SIDE))
"""Of a picture without anything in it."""


def fingerprint(pixels: np.ndarray) -> Fingerprint:
    """The fingerprint of a picture's pixels [height, width, 3], RGB, uint8."""
    step = max(1, min(pixels.shape[:2]) // _SAMPLES)
    sampled = pixels[::step, ::step]
    sums, rows = _sums(sampled, 0)
    sums, columns = _sums(sums, 1)
    counts = rows[:, None] * columns[None, :] * 256
    cells = (sums @ _LUMINANCE + counts // 2) // counts
    return Fingerprint(_hash(cells), cells.astype(np.uint8).tobytes())


def _sums(values: np.ndarray, axis: int) -> Tuple[np.ndarray, np.ndarray]:
    """The sums of 32 parts along an axis, and how many values each has.

    Where there are fewer values than parts, several parts are of the same one.
    """
    length = values.shape[axis]
    starts = np.arange(SIDE) * length // SIDE
    counts = np.maximum(np.diff(np.append(starts, length)), 1)
    wide = np.uint32 if values.dtype == np.uint8 else np.int64
    return np.add.reduceat(values, starts, axis=axis, dtype=wide), counts


def _cosines() -> np.ndarray:
    """The lowest frequencies of the discrete cosine transform (DCT-II), in whole numbers."""
    angles = np.pi * (2 * np.arange(SIDE)[None, :] + 1) * np.arange(_LOW)[:, None] / (2 * SIDE)
    return np.round(np.cos(angles) * _SCALE).astype(np.int64)


_COSINES = _cosines()


def _hash(cells: np.ndarray) -> int:
    """The DCT hash ("pHash") of C. Zauner, Implementation and Benchmarking of Perceptual Image Hash
    Functions, 2010: whether each of the lowest 8 by 8 frequencies is above their median.

    The mean brightness is none of them: the first stands for it, and is left out of the median.
    """  # noqa: D205
    spectrum = (_COSINES @ cells.astype(np.int64) @ _COSINES.T).ravel()
    ranked = np.sort(spectrum[1:])
    above = spectrum > ranked[len(ranked) // 2]
    above[0] = False
    return int("".join("1" if bit else "0" for bit in above), 2)


def bit_signs(hashes: List[int]) -> np.ndarray:
    """Hashes as rows of -1 and 1 [n, 64], float32: the product of two rows is 64 - 2 distances."""
    packed = np.array(hashes, dtype=np.uint64)
    shifts = np.arange(BITS, dtype=np.uint64)
    bits = (packed[:, None] >> shifts[None, :]) & np.uint64(1)
    signs: np.ndarray = bits.astype(np.float32) * 2 - 1
    return signs
