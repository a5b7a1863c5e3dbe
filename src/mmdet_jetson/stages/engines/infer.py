"""Detect objects in a picture with the engine in this folder, and draw them."""

import argparse
import os
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Iterator, List, Optional, Sequence

from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.preprocessing import read_picture

FAILED = 3


def main(folder: Path, arguments: Optional[List[str]] = None) -> None:
    """Run as a program, with the engine in ``folder``."""
    options = _parser().parse_args(arguments)
    try:
        _detect(open_engine(folder), options)
    except StageError as error:
        sys.exit(_failed(error.message, error.hint))
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "cv2":
            raise
        sys.exit(
            _failed(
                f"reading, scaling and drawing pictures needs OpenCV: {error}",
                "pip install opencv-python-headless; a fused engine with input = image can be "
                "imported from here and fed arrays without it",
            )
        )


def _detect(detector: Detector, options: argparse.Namespace) -> None:
    from mmdet_jetson.stages.inference.drawing import draw, write_jpeg  # noqa: PLC0415

    names = drawings(options.pictures, options.into)
    with _writing_into(options.into):
        options.into.mkdir(parents=True, exist_ok=True)
        for name in names:
            _check_place(name)
    for path, drawn in zip(options.pictures, names):
        picture = read_picture(path)
        began = perf_counter()
        found = [d for d in detector.detect(picture) if d.score >= options.threshold]
        milliseconds = (perf_counter() - began) * 1000
        with _writing_into(options.into):
            write_jpeg(drawn, draw(picture, found, detector.classes))
        on_gpu = getattr(detector.network, "milliseconds", None)
        timed = f"{milliseconds:.1f} ms" + (f", {on_gpu:.1f} ms of it on the GPU" if on_gpu else "")
        print(f"{path}: {len(found)} detected in {timed}; drawn in {drawn}")
        for detection in found:
            box = " ".join(f"{value:.1f}" for value in detection.box)
            print(f"  {detector.classes[detection.label]} {detection.score:.3f}  {box}")


def drawings(pictures: Sequence[Path], into: Path) -> List[Path]:
    """Name each picture's drawing: no two alike on any file system, and none a picture's own name.

    ``1.png`` becomes ``1_detected.jpg``; another picture called 1 becomes ``1_detected-2.jpg``.
    The same pictures have the same drawings the next time, which replace the earlier ones.
    """
    taken = {_folded(path) for path in pictures}
    names: List[Path] = []
    for path in pictures:
        name, number = into / f"{path.stem}_detected.jpg", 2
        while _folded(name) in taken:
            name, number = into / f"{path.stem}_detected-{number}.jpg", number + 1
        taken.add(_folded(name))
        names.append(name)
    return names


def _folded(path: Path) -> str:
    return str(path.resolve()).casefold()


def _check_place(drawn: Path) -> None:
    """Look, before anything is detected, that a drawing takes the place of nothing but a file."""
    if os.path.lexists(drawn) and not stat.S_ISREG(drawn.lstat().st_mode):
        raise StageError(
            f"{drawn} is there, and is no ordinary file",
            "remove it, or name another folder for the drawings: --into FOLDER",
        )


@contextmanager
def _writing_into(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StageError(
            f"--into {folder}: {error.strerror}", "name a folder that can be written, with room"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="infer.py", description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, help="JPEG or PNG files")
    parser.add_argument("--threshold", type=_score, default=0.3, help="least score, 0 to 1 (0.3)")
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(),
        help="folder for the drawings (here); a drawing of an earlier call is replaced",
    )
    return parser


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = -1
    if not 0 <= score <= 1:  # refuses "nan" too
        raise argparse.ArgumentTypeError(f"{text!r} is no score: a number from 0 to 1")
    return score


def _failed(message: str, hint: str) -> int:
    print(f"error: {message}\n  try: {hint}", file=sys.stderr)
    return FAILED
