"""Detect objects in a picture with the engine in this folder, and draw them."""

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import List, Optional

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
        if error.name != "cv2":
            raise
        sys.exit(
            _failed(
                "reading, scaling and drawing pictures needs OpenCV, which is not installed",
                "pip install opencv-python-headless; a fused engine with input = image can be "
                "imported from here and fed arrays without it",
            )
        )


def _detect(detector: Detector, options: argparse.Namespace) -> None:
    from mmdet_jetson.stages.inference.drawing import draw, write_jpeg  # noqa: PLC0415

    try:
        options.into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageError(
            f"--into {options.into}: {error.strerror}", "name a folder that can be written"
        ) from error
    for path in options.pictures:
        picture = read_picture(path)
        began = perf_counter()
        found = [d for d in detector.detect(picture) if d.score >= options.threshold]
        milliseconds = (perf_counter() - began) * 1000
        drawn = options.into / f"{path.stem}_detected.jpg"
        write_jpeg(drawn, draw(picture, found, detector.classes))
        on_gpu = getattr(detector.network, "milliseconds", None)
        timed = f"{milliseconds:.1f} ms" + (f", {on_gpu:.1f} ms of it on the GPU" if on_gpu else "")
        print(f"{path}: {len(found)} detected in {timed}; drawn in {drawn}")
        for detection in found:
            box = " ".join(f"{value:.1f}" for value in detection.box)
            print(f"  {detector.classes[detection.label]} {detection.score:.3f}  {box}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="infer.py", description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, help="JPEG or PNG files")
    parser.add_argument("--threshold", type=float, default=0.3, help="least score (0.3)")
    parser.add_argument("--into", type=Path, default=Path(), help="folder for the drawings (here)")
    return parser


def _failed(message: str, hint: str) -> int:
    print(f"error: {message}\n  try: {hint}", file=sys.stderr)
    return FAILED
