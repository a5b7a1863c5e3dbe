"""Pictures that look nearly the same: copies that were scaled, compressed, cropped or brightened.

Two steps. Candidates are pairs whose perceptual hashes differ in few bits: all pairs that the last
run has not seen are compared by products of matrices, 22,000 pictures in seconds. A candidate is
taken where each part of one picture looks like the same part of the other, or one beside it; but
not where both are the same nearly everywhere and very different somewhere: that is what a fixed
camera sees of other objects.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from mmdet_jetson.stages.annotations.fingerprints import BITS, SIDE, Fingerprint, bit_signs
from mmdet_jetson.stages.annotations.notes import read_notes, write_notes

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


@dataclass(frozen=True, order=True)
class Pair:
    """Two pictures, by their indices, and in how many bits of 64 their hashes differ."""

    first: int
    second: int
    distance: int


class KnownPairs:
    """The pairs of the last run, so that pictures that were compared are not compared again."""

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        last = json.loads(read_notes(path) or '{"candidates": 0, "pictures": [], "pairs": []}')
        self.candidates: int = last["candidates"]
        """How many pairs came into question, those of pictures that are gone by now included."""
        self._pictures = frozenset(last["pictures"])
        self._pairs = [
            (last["pictures"][first], last["pictures"][second], distance)
            for first, second, distance in last["pairs"]
        ]
        self._found: Dict[str, object] = {}

    def of(self, names: Sequence[str]) -> Tuple[List[int], List[Pair]]:
        """The indices of what the last run has not seen, and the pairs among the others.

        ``names`` are digests of fingerprints. Of pictures with one fingerprint the first counts as
        seen, so that each other is compared.
        """
        places: Dict[str, int] = {}
        new = []
        for index, name in enumerate(names):
            if name in self._pictures and name not in places:
                places[name] = index
            else:
                new.append(index)
        pairs = {
            Pair(min(places[one], places[other]), max(places[one], places[other]), distance)
            for one, other, distance in self._pairs
            if one != other and one in places and other in places
        }
        return new, sorted(pairs)

    def note(self, names: Sequence[str], candidates: int, pairs: Sequence[Pair]) -> None:
        """Note all pairs of these pictures, and how many candidates there were."""
        self._found = {
            "candidates": candidates,
            "pictures": names,
            "pairs": [(each.first, each.second, each.distance) for each in pairs],
        }

    def keep(self) -> None:
        """Write what this run found, for the next."""
        if self._path and self._found:
            write_notes(self._path, json.dumps(self._found).encode())


def _name_of(picture: Fingerprint) -> str:
    content = picture.bits.to_bytes(BITS // 8, "big") + picture.cells
    return sha256(content).hexdigest()[:32]


_Candidates = Tuple[np.ndarray, np.ndarray, np.ndarray]
"""The indices of the first pictures of pairs, those of the second ones, and their distances."""


def near_duplicates(
    fingerprints: Sequence[Fingerprint], known: Optional[KnownPairs] = None
) -> List[Pair]:
    """The pairs that look nearly the same, in the order of their indices.

    What is ``known`` is not compared again, and what was found is noted there.
    """
    known = known or KnownPairs(None)
    names = list(map(_name_of, fingerprints))
    new, pairs = known.of(names)
    candidates = _candidates(fingerprints, new)
    number, most = known.candidates + len(candidates[0]), MOST_CANDIDATES * len(fingerprints)
    if number > most:  # whether fewer bits may differ depends on all of them
        pairs, candidates = [], _candidates(fingerprints, range(len(fingerprints)))
        number = len(candidates[0])
    found = sorted([*pairs, *_alike(fingerprints, _fewer(candidates, most))])
    if number <= most:
        known.note(names, number, found)
    return found


def _alike(fingerprints: Sequence[Fingerprint], candidates: _Candidates) -> List[Pair]:
    """The candidates each part of which looks alike."""
    first, second, distance = candidates
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
    keep = np.concatenate(taken)
    return [Pair(*map(int, each)) for each in zip(first[keep], second[keep], distance[keep])]


def look_alike(one: Fingerprint, other: Fingerprint, bits: int) -> bool:
    """Whether the hashes of two pictures differ in so many bits at most."""
    return bin(one.bits ^ other.bits).count("1") <= bits


def _candidates(fingerprints: Sequence[Fingerprint], new: Sequence[int]) -> _Candidates:
    """The pairs with few bits between them, of which at least one picture is new, in order."""
    is_new = np.zeros(len(fingerprints), bool)
    is_new[list(new)] = True
    order = np.concatenate([np.flatnonzero(is_new), np.flatnonzero(~is_new)])
    signs = bit_signs([fingerprints[index].bits for index in order])
    nothing = np.zeros(0, np.int64)
    found = [(nothing, nothing, nothing), *_within(signs, len(new))]
    row, column, distance = (np.concatenate(each) for each in zip(*found))
    first, second = np.sort([order[row], order[column]], axis=0)
    by_place = np.lexsort((second, first))
    return first[by_place], second[by_place], distance[by_place]


def _fewer(candidates: _Candidates, most: int) -> _Candidates:
    """The least distant candidates where there are too many."""
    first, second, distance = candidates
    limit = HASH_DISTANCE
    while limit > 0 and len(distance) > most:
        limit -= 1
        keep = distance <= limit
        first, second, distance = first[keep], second[keep], distance[keep]
    return first, second, distance


def _within(signs: np.ndarray, rows: int) -> Iterator[_Candidates]:
    """The pairs of the first so many rows of signs [n, 64] with each other and with the rest."""
    for start in range(0, rows, _ROWS):
        block = signs[start : min(start + _ROWS, rows)]
        # Small whole numbers: exact in float32, whatever adds them up and in which order.
        products = block @ signs[start:].T
        row, column = np.nonzero(products >= BITS - 2 * HASH_DISTANCE)
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
