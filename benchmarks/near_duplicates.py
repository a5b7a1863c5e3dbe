"""How many near-duplicates are found, and how many other pairs are taken for such.

    .venv/bin/python benchmarks/near_duplicates.py [balloon_dataset.zip]

Copies are planted among the balloon pictures (where the archive is at hand) and drawn ones: scaled,
compressed, cropped, brightened, and several of these at once. A pair is right where both are of the
same picture. Beside these there are frames of a panning camera, and what a camera that does not
move sees of different objects, which are not copies of each other. Prints Markdown.
"""

import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmdet_jetson.stages.annotations import drawn
from mmdet_jetson.stages.annotations.fingerprints import Fingerprint, fingerprint
from mmdet_jetson.stages.annotations.near_duplicates import near_duplicates

Picture = np.ndarray
DRAWN, SIZE = 300, (640, 480)
FRAMES, STEP = 12, 12  # a pan by that many pixels a frame: a second at 12 frames a second
MANY = 22_000


def scaled(factor: float) -> Callable[[Picture], Picture]:
    return lambda p: cv2.resize(p, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def decoded(data: np.ndarray) -> Picture:
    picture: Picture | None = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def compressed(quality: int) -> Callable[[Picture], Picture]:
    return lambda p: decoded(cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def cropped(share: float) -> Callable[[Picture], Picture]:
    """Leave out a share of each side's length, half of it at either end."""

    def crop(p: Picture) -> Picture:
        y, x = (round(length * share / 2) for length in p.shape[:2])
        return p[y : p.shape[0] - y, x : p.shape[1] - x]

    return crop


def brightened(factor: float) -> Callable[[Picture], Picture]:
    return lambda p: (p * factor).clip(0, 255).astype(np.uint8)


def all_at_once(p: Picture) -> Picture:
    return compressed(50)(scaled(0.6)(brightened(1.15)(cropped(0.04)(p))))


COPIES: Mapping[str, Callable[[Picture], Picture]] = {
    "scaled to 1/2": scaled(0.5),
    "scaled to 1/4": scaled(0.25),
    "stretched to a square": lambda p: cv2.resize(p, (640, 640)),
    "JPEG, quality 30": compressed(30),
    "JPEG, quality 10": compressed(10),
    "cropped by 2 %": cropped(0.02),
    "cropped by 5 %": cropped(0.05),
    "cropped by 8 %": cropped(0.08),
    "brightness x 1.25": brightened(1.25),
    "brightness x 0.7": brightened(0.7),
    "4 % cropped, x 0.6, x 1.15, quality 50": all_at_once,
    "cropped by 10 %": cropped(0.10),
    "mirrored": lambda p: p[:, ::-1],
}


def look(picture: Picture) -> Fingerprint:
    return fingerprint(np.ascontiguousarray(picture[:, :, ::-1]))


def balloons(archive: Path) -> list[Picture]:
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".jpg"))
        read = (np.frombuffer(opened.read(name), np.uint8) for name in names)
        return [decoded(each) for each in read]


def drawn_pictures() -> list[Picture]:
    with tempfile.TemporaryDirectory() as scratch:
        drawn.draw_dataset(Path(scratch, "all"), DRAWN, 1, SIZE, seed=5)
        paths = sorted(Path(scratch, "all/train").glob("*.jpg"))
        return [decoded(np.frombuffer(path.read_bytes(), np.uint8)) for path in paths]


def fixed_camera(count: int, factor: float) -> list[Picture]:
    """One background with other objects each time, and the noise of a sensor."""
    random, background = np.random.default_rng(1), drawn._background(SIZE, np.random.default_rng(7))
    seen = []
    for _ in range(count):
        canvas = background.copy()
        for shape in drawn._arrange(SIZE, random):
            half = (shape.half[0] * factor, shape.half[1] * factor)
            smaller = drawn.Shape(shape.name, shape.center, half, shape.theta)
            mask = drawn._mask(smaller, SIZE)[:, :, None]
            surface = drawn._surface(SIZE, drawn.HUES[shape.label], random)
            canvas = canvas * (1 - mask) + surface * mask
        noisy = canvas + random.normal(0, 4, canvas.shape)
        seen.append(noisy.clip(0, 255).astype(np.uint8))
    return seen


def pans(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """Frames of a camera that pans over each picture that is large enough."""
    wide = FRAMES * STEP
    fitting = [p for p in pictures if p.shape[1] >= 4 * wide and p.shape[0] >= 400]
    starts = range(0, wide, STEP)
    return [[p[:, at : p.shape[1] - wide + at] for at in starts] for p in fitting]


def print_copies(title: str, pictures: Sequence[Picture]) -> None:
    """One row a kind of copy: how many are found, and how many pairs are of different pictures."""
    originals = [look(each) for each in pictures]
    for kind, copy in COPIES.items():
        copies = [look(copy(each)) for each in pictures]
        count = len(originals)
        pairs = near_duplicates([*originals, *copies])
        right = sum(pair.first + count == pair.second for pair in pairs)
        precision = f"{right / len(pairs):.3f}" if pairs else "–"
        print(f"| {title} | {kind} | {count} | {right / count:.3f} | {precision} |")


def print_frames(pictures: Sequence[Picture]) -> None:
    frames = [[look(each) for each in pan] for pan in pans(pictures)]
    flat = [each for pan in frames for each in pan]
    pairs = near_duplicates(flat)
    right = sum(pair.first // FRAMES == pair.second // FRAMES for pair in pairs)
    next_to = sum(
        pair.second - pair.first == 1 and pair.first // FRAMES == pair.second // FRAMES
        for pair in pairs
    )
    planted = len(frames) * (FRAMES - 1)
    recall, precision = next_to / planted, right / len(pairs)
    kind = f"consecutive frames, {STEP} pixels on"
    print(f"| pans | {kind} | {planted} | {recall:.3f} | {precision:.3f} |")


def print_fixed() -> None:
    print("\n| objects as long as | pairs | taken for near-duplicates |\n|---|---:|---:|")
    for factor in (1.0, 0.5, 0.25):
        seen = [look(each) for each in fixed_camera(60, factor)]
        pairs, all_pairs = near_duplicates(seen), 60 * 59 // 2
        text = f"{20 * factor:.0f} to {60 * factor:.0f} % of the height"
        print(f"| {text} | {all_pairs} | {len(pairs) / all_pairs:.1%} |")


def print_times(pictures: Sequence[Picture]) -> None:
    start = time.process_time()
    known = [look(each) for each in pictures]
    each = (time.process_time() - start) / len(pictures)
    random = np.random.default_rng(0)
    drawn_from = [known[index] for index in random.integers(0, len(known), MANY // 10)]
    others = [
        Fingerprint(int(bits), cells.tobytes())
        for bits, cells in zip(
            random.integers(0, 2**63, MANY - len(drawn_from)),
            random.integers(0, 256, (MANY - len(drawn_from), 1024), np.uint8),
            strict=True,
        )
    ]
    start = time.process_time()
    pairs = near_duplicates([*drawn_from, *others])
    took = time.process_time() - start
    print(
        f"\nA fingerprint: {1000 * each:.1f} ms a picture. {MANY:,} pictures, {len(pairs):,} pairs"
    )
    print(f"of them near-duplicates: {took:.1f} s. Processor time.")


def main() -> None:
    archive = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    sets = {"drawn": drawn_pictures()}
    if archive:
        sets = {"balloon": balloons(archive), **sets}
    print("| pictures | copies | planted | recall | precision |\n|---|---|---:|---:|---:|")
    for title, pictures in sets.items():
        print_copies(title, pictures)
    print_frames(next(iter(sets.values())))
    print_fixed()
    print_times(next(iter(sets.values())))


if __name__ == "__main__":
    main()
