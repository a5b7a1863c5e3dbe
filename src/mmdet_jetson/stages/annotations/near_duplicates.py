"""Pictures that look nearly the same: copies that were scaled, compressed, cropped or brightened.

Two steps. Candidates are pairs whose perceptual hashes differ in few bits: all pairs are compared
by products of matrices, 22,000 pictures in seconds. A candidate is taken where each part of one
picture looks like the same part of the other, or one beside it; but not where both are the same
nearly everywhere and very different somewhere: that is what a fixed camera sees of other objects.
"""

from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple

import numpy as np

from mmdet_jetson.stages.annotations.fingerprints import BITS, SIDE, Fingerprint, bit_signs

HASH_DISTANCE = 16
"""Bits of 64 in which the hashes of a candidate differ at most."""
CELL_DIFFERENCE = 40
"""How far a part may be from those beside it in the other picture, in 1/32 standard deviations."""
MOST_CANDIDATES = 20
"""Candidates a picture on average: where there are more, fewer bits may differ."""
_UNIT = 32
_ALIGNED = 2  # 1/32 standard deviations that four fifths of the cells differ by at most
_FLATTEST = 3  # standard deviation of luminance below which noise would be blown up
_BLOCK = 1024
_ROWS = 256  # of distances at once: of 100,000 pictures they take 100 MB


@dataclass(frozen=True)
class Pair:
    """Two pictures, by their indices, and in how many bits of 64 their hashes differ."""

    first: int
    second: int
    distance: int


def near_duplicates(fingerprints: Sequence[Fingerprint]) -> List[Pair]:
    """The pairs that look nearly the same, in the order of their indices."""
    if len(fingerprints) < 2:
        return []
    first, second, distance = _candidates(fingerprints)
    compared, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    if not len(compared):
        return []
    grids = np.stack([_normal(fingerprints[index].grid) for index in compared])
    place, other_place = places[: len(first)], places[len(first) :]
    taken = []
    for start in range(0, len(first), _BLOCK):
        block = slice(start, start + _BLOCK)
        one, other = grids[place[block]], grids[other_place[block]]
        taken.append((difference(one, other) <= CELL_DIFFERENCE) & ~has_other_object(one, other))
    keep = np.concatenate(taken) if taken else np.zeros(0, bool)
    return [Pair(*map(int, each)) for each in zip(first[keep], second[keep], distance[keep])]


def look_alike(one: Fingerprint, other: Fingerprint, bits: int) -> bool:
    """Whether the hashes of two pictures differ in so many bits at most."""
    return bin(one.bits ^ other.bits).count("1") <= bits


def _candidates(
    fingerprints: Sequence[Fingerprint],
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of pairs, and their distances; the least distant where there are too many."""
    signs = bit_signs([each.bits for each in fingerprints])
    limit, most = HASH_DISTANCE, MOST_CANDIDATES * len(signs)
    found = list(_within(signs, limit))
    first, second, distance = (np.concatenate(each) for each in zip(*found))
    while limit > 0 and len(distance) > most:
        limit -= 1
        keep = distance <= limit
        first, second, distance = first[keep], second[keep], distance[keep]
    return first, second, distance


def _within(signs: np.ndarray, limit: int) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for start in range(0, len(signs), _ROWS):
        rows = signs[start : start + _ROWS]
        # Small whole numbers: exact in float32, whatever adds them up and in which order.
        products = rows @ signs[start:].T
        row, column = np.nonzero(products >= BITS - 2 * limit)
        later = column > row
        row, column = row[later], column[later]
        distances = (BITS - products[row, column]) / 2
        yield row + start, column + start, distances.astype(np.int64)


def _normal(grid: np.ndarray) -> np.ndarray:
    """Cells without the picture's brightness and contrast: 1/32 standard deviations, int16."""
    cells = grid.astype(np.int64)
    total, squares, count = cells.sum(), (cells * cells).sum(), cells.size
    spread = max(np.sqrt(float(count * squares - total * total)), float(count * _FLATTEST))
    normal: np.ndarray = np.round((count * cells - total) * _UNIT / spread).astype(np.int16)
    return normal


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far pictures [n, 32, 32] are apart at the place where they are most: [n].

    A cell is compared with what lies between the least and the most of the nine cells around it.
    The outermost cells are not compared: a slight crop takes them away.
    """
    worst: np.ndarray = np.maximum(_beyond(one, other), _beyond(other, one))
    return worst


def has_other_object(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether pictures [n, 32, 32] are the same nearly everywhere, and very different somewhere."""
    inner = slice(1, SIDE - 1)
    apart = np.abs(one[:, inner, inner] - other[:, inner, inner]).reshape(len(one), -1)
    apart.partition(apart.shape[1] * 4 // 5, axis=1)
    aligned = apart[:, apart.shape[1] * 4 // 5] <= _ALIGNED
    found: np.ndarray = aligned & (apart.max(axis=1) > CELL_DIFFERENCE)
    return found


def _beyond(cells: np.ndarray, other: np.ndarray) -> np.ndarray:
    inner = slice(1, SIDE - 1)
    shifts = [(y, x) for y in range(3) for x in range(3)]
    around = [other[:, y : y + SIDE - 2, x : x + SIDE - 2] for y, x in shifts]
    low, high = np.minimum.reduce(around), np.maximum.reduce(around)
    middle = cells[:, inner, inner]
    beyond = np.maximum(np.maximum(middle - high, low - middle), 0)
    worst: np.ndarray = beyond.reshape(len(cells), -1).max(axis=1)
    return worst
