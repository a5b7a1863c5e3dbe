from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdet_jetson.stages.annotations import near_duplicates
from mmdet_jetson.stages.annotations.drawn import draw_dataset
from mmdet_jetson.stages.annotations.fingerprints import Fingerprint, bit_signs, fingerprint


def decoded(data: np.ndarray) -> np.ndarray:
    picture: np.ndarray | None = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half as large": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "stretched": lambda p: cv2.resize(p, (480, 480)),
    "compressed": lambda p: decoded(cv2.imencode(".jpg", p, [1, 20])[1]),
    "darker": lambda p: (p * 0.7).astype(np.uint8),
    "cropped": lambda p: p[6:-6, 8:-8],
    "as it is": lambda p: p,
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, 20, 1, (640, 480), 3)
    paths = sorted((folder / "train").glob("*.jpg"))
    return [decoded(np.frombuffer(path.read_bytes(), np.uint8)) for path in paths]


def seen(pictures: list[np.ndarray]) -> list[Fingerprint]:
    return [fingerprint(np.ascontiguousarray(each[:, :, ::-1])) for each in pictures]


def found(pictures: list[np.ndarray]) -> set[tuple[int, int]]:
    pairs = near_duplicates.near_duplicates(seen(pictures))
    return {(pair.first, pair.second) for pair in pairs}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_nothing_else(pictures: list[np.ndarray], kind: str) -> None:
    copies = [COPIES[kind](each) for each in pictures]
    planted = {(at, at + len(pictures)) for at in range(len(pictures))}
    assert found([*pictures, *copies]) == planted


def test_another_object_before_the_same_background_is_another_picture(
    pictures: list[np.ndarray],
) -> None:
    plain = pictures[0]
    marked = plain.copy()
    cv2.rectangle(marked, (300, 200), (380, 260), (255, 255, 255), -1)
    assert found([plain, marked]) == set()
    assert found([plain, plain.copy()]) == {(0, 1)}


def test_pictures_without_anything_in_them_are_alike() -> None:
    grey, black = np.full((60, 80, 3), 120, np.uint8), np.zeros((60, 80, 3), np.uint8)
    assert found([grey, black]) == {(0, 1)}


def test_tiny_and_long_pictures_have_fingerprints() -> None:
    for shape in ((1, 1, 3), (5, 2000, 3), (2000, 5, 3), (33, 31, 3)):
        assert len(fingerprint(np.full(shape, 9, np.uint8)).cells) == 1024


def test_cells_are_mean_luminances_of_equal_parts() -> None:
    pixels = np.zeros((320, 640, 3), np.uint8)
    pixels[:, 320:] = (0, 255, 0)
    grid = fingerprint(pixels).grid
    assert (grid[:, :16] == 0).all()
    assert (grid[:, 16:] == round(255 * 150 / 256)).all()


def test_fingerprint_is_the_one_of_every_machine() -> None:
    pixels = np.arange(90 * 70 * 3, dtype=np.int64).reshape(90, 70, 3) ** 2 % 251
    known = fingerprint(pixels.astype(np.uint8))
    assert (known.bits, known.cells[:4].hex()) == KNOWN


KNOWN = (6644955659094333450, "3f716f92")


def test_products_are_hamming_distances() -> None:
    random = np.random.default_rng(0)
    hashes = [int(each) for each in random.integers(0, 2**63, 50)]
    signs = bit_signs(hashes)
    distances = (64 - signs @ signs.T) / 2
    for one in range(50):
        for other in range(50):
            assert distances[one, other] == bin(hashes[one] ^ hashes[other]).count("1")


def test_too_many_candidates_are_narrowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_CANDIDATES", 1)
    cells = np.random.default_rng(0).integers(0, 256, 1024).astype(np.uint8).tobytes()
    near = [Fingerprint((1 << at) - 1, cells) for at in range(8)]
    pairs = near_duplicates.near_duplicates(near)
    assert {(pair.first, pair.second) for pair in pairs} == {(at, at + 1) for at in range(7)}
    assert {pair.distance for pair in pairs} == {1}


def test_few_pictures_have_no_pairs() -> None:
    assert near_duplicates.near_duplicates([]) == []
    assert near_duplicates.near_duplicates([Fingerprint(0, bytes(1024))]) == []


def test_pairs_are_in_the_order_of_indices_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BLOCK", "_ROWS"):
        monkeypatch.setattr(near_duplicates, name, 3)
    pairs = near_duplicates.near_duplicates([Fingerprint(0, bytes(1024))] * 8)
    assert [(each.first, each.second) for each in pairs] == [
        (one, other) for one in range(8) for other in range(one + 1, 8)
    ]


def test_drawn_pictures_are_all_different(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    assert found(pictures) == set()


def grown(notes: Path, *turns: list[Fingerprint]) -> list[near_duplicates.Pair]:
    """The pairs of the last turn, each of which knows what the one before has noted."""
    pairs: list[near_duplicates.Pair] = []
    for listed in turns:
        known = near_duplicates.KnownPairs(notes / "pairs.json")
        pairs = near_duplicates.near_duplicates(listed, known)
        known.keep()
    return pairs


@pytest.mark.parametrize("seed", range(20))
def test_known_pictures_have_the_pairs_that_they_had(tmp_path: Path, seed: int) -> None:
    """Whatever comes, goes, changes places or is there several times."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, 256, 1024).astype(np.uint8).tobytes()
    pool = [Fingerprint(int(each) << 40, cells) for each in random.integers(0, 1 << 18, 60)]
    turns = [[pool[at] for at in random.integers(0, 60, 40)] for _ in range(4)]
    pairs = near_duplicates.near_duplicates(turns[-1])
    assert pairs
    assert grown(tmp_path, *turns) == pairs


def test_known_pictures_are_not_compared(
    tmp_path: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = seen([*pictures[:10], *pictures[:5]])
    pairs = grown(tmp_path, listed)
    monkeypatch.setattr(near_duplicates, "_normal", None)
    assert grown(tmp_path, listed[:10]) == []
    assert grown(tmp_path, listed[:10]) == []
    monkeypatch.undo()
    assert grown(tmp_path, listed) == pairs


def test_candidates_that_are_too_many_are_all_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_CANDIDATES", 1)
    cells = np.random.default_rng(0).integers(0, 256, 1024).astype(np.uint8).tobytes()
    near = [Fingerprint((1 << at) - 1, cells) for at in range(9)]
    for turns in ([near[:2], near], [near, near[:3]], [near[:8], near], [near, near[:8], near]):
        (tmp_path / "pairs.json").unlink(missing_ok=True)
        assert grown(tmp_path, *turns) == near_duplicates.near_duplicates(turns[-1])
