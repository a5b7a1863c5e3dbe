"""Detect objects with the engine in this folder: in pictures, videos, and what cameras see."""

import argparse
import os
import signal
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import List, Optional, Tuple, Union

from mmdet_jetson.stages.engines.detecting import Steps, scores_of
from mmdet_jetson.stages.engines.flow import Flow, Outputs
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.engines.saving import CODECS, Drawings, Video, video_name
from mmdet_jetson.stages.engines.sources import PICTURES, Pictures, Source, source_of
from mmdet_jetson.stages.engines.telling import Telling, note
from mmdet_jetson.stages.engines.thresholds import USUAL, of_each_class, threshold_of
from mmdet_jetson.stages.engines.window import Window
from mmdet_jetson.stages.errors import StageError

FAILED = 3
# What a shell gives for a program that a signal ended.
BY_SIGNAL = 128
# Said unless the user wants more: what goes wrong is told in a sentence of ours.
QUIET = {"OPENCV_LOG_LEVEL": "ERROR", "OPENCV_FFMPEG_LOGLEVEL": "8", "OPENCV_VIDEOIO_DEBUG": "0"}
EPILOG = f"""
sources:
  a.jpg b.png, photos/     pictures, and folders of them at any depth ({" ".join(PICTURES)})
  traffic.mp4              a video: every frame
  0, /dev/video0           a camera: the newest frame, others are dropped and counted
  rtsp://..., http://...   a stream: the same
  "videotestsrc ! videoconvert ! video/x-raw,format=BGR ! appsink"
                           a GStreamer pipeline, where OpenCV was built with GStreamer

without --json, --save and --show, drawings of pictures go into the current folder.
Ctrl-C, or q in the window, ends a stream: what was seen is written, and a video can be played.
exit codes: 0 all done, 2 wrong arguments, 3 something failed or cannot be read, 130 after Ctrl-C.
"""


def main(folder: Path, arguments: Optional[List[str]] = None) -> None:
    """Run as a program, with the engine in ``folder``."""
    options = _parser().parse_args(arguments)
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)
    if isinstance(sys.stdout, TextIOWrapper):  # the name of a file need not be of any encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _detect(folder, options)
    except StageError as error:
        sys.exit(_failed(error.message, error.hint))
    except KeyboardInterrupt:
        sys.exit(BY_SIGNAL + signal.SIGINT)
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


def _detect(folder: Path, options: argparse.Namespace) -> None:
    import cv2  # noqa: F401, PLC0415 - here it is missed by a sentence, and not by a thread

    source = source_of(options.sources, options.save)
    saving = _saving(source, options)
    if saving:
        saving.check()
    window = Window(all_of_them=isinstance(source, Pictures)) if options.show else None
    if window:
        window.open()
    detector = open_engine(folder)
    scores = _scores(folder, detector.classes, options)
    if isinstance(source, Pictures):
        for left_out in source.notes:
            note(left_out)
    telling = Telling(source, detector.classes, options.json)
    _run(Flow(source, Steps(detector, scores), Outputs(telling, saving, window)))


def _run(flow: Flow) -> None:
    """Run a call, and leave with the exit code that it has earned."""
    try:
        code = _code(flow)
    except BrokenPipeError:  # as of "| head"
        code = BY_SIGNAL + signal.SIGPIPE
    except KeyboardInterrupt:  # the second one
        code = BY_SIGNAL + signal.SIGINT
    except Exception:
        if not flow.hangs:
            raise
        traceback.print_exc()
        code = 1
    if flow.hangs:  # inside OpenCV, on a camera or an address: Python would abort there
        sys.stdout.flush()
        os._exit(code)
    if code:
        sys.exit(code)


def _code(flow: Flow) -> int:
    """Run a call to its end, sum it up and give its exit code."""
    problem: Optional[StageError] = None
    try:
        flow.run()
    except StageError as error:
        problem = error
    telling, saving = flow.outputs.telling, flow.outputs.saving
    if telling.told > 1:
        note(flow.summary())
    if isinstance(saving, Video) and saving.written and not problem:
        note(f"{saving.written} frames in {saving.path}")
    if telling.unread and not problem:
        problem = StageError(
            f"{telling.unread} of {telling.unread + telling.told} pictures could not be read",
            "the warnings name them",
        )
    if problem:
        return _failed(problem.message, problem.hint)
    return BY_SIGNAL + flow.stopped_by if flow.stopped_by else 0


def _saving(source: Source, options: argparse.Namespace) -> Optional[Union[Drawings, Video]]:
    """Tell where drawings go, if anywhere.

    Raises:
        StageError: they would be where the pictures are, or pictures would be drawn into a video.
    """
    if not isinstance(source, Pictures):
        return Video(video_name(options.save, source), source) if options.save else None
    into: Optional[Path] = options.save
    if into is None:
        if options.json or options.show:
            return None
        into = Path()
    if into.suffix.lower() in (*CODECS, *PICTURES) and not into.is_dir():
        kind = "a video" if into.suffix.lower() in CODECS else "one file"
        raise StageError(
            f"--save {into}: pictures are drawn into a folder, and not into {kind}",
            "name a folder: --save detected",
        )
    for text in options.sources:
        if Path(text).is_dir() and into.resolve() == Path(text).resolve():
            raise StageError(
                f"drawings would go into {text}, the folder of the pictures, and be detected on "
                "the next time",
                "name another folder: --save detected",
            )
    return Drawings(source.paths, into)


def _scores(
    folder: Path, classes: Tuple[str, ...], options: argparse.Namespace
) -> Tuple[float, ...]:
    """Give the score from which on each class counts, and say so unless the user did."""
    if options.threshold is not None:
        return scores_of(classes, options.threshold, {})
    threshold = threshold_of(folder)
    if options.per_class:
        threshold = of_each_class(threshold, list(classes))
    note(threshold.sentence(options.per_class))
    return scores_of(classes, threshold.score, threshold.per_class if options.per_class else {})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="infer.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="pictures and folders, or one stream"
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--threshold",
        type=_score,
        metavar="SCORE",
        help="least score, 0 to 1; without it what thresholds.json beside the engine names, "
        f"and {USUAL} where there is none",
    )
    chosen.add_argument(
        "--per-class",
        action="store_true",
        help="a least score for each class, as thresholds.json names them",
    )
    parser.add_argument(
        "--json", action="store_true", help="a line of JSON for each picture or frame, and no text"
    )
    parser.add_argument(
        "--save",
        "--into",
        type=Path,
        metavar="PLACE",
        help="folder for drawings, or a video of a stream "
        f"({', '.join(CODECS)}, or a folder for it); what an earlier call drew is replaced",
    )
    parser.add_argument("--show", action="store_true", help="show drawings in a window; q ends")
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
    note(f"error: {message}\n  try: {hint}")
    return FAILED
