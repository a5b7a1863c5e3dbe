"""Detect when told to, and say how long it took: one process of `end_to_end.py`.

    python detect_worker.py (sdk|ours) FOLDER WIDTHxHEIGHT PICTURE...

Runs in the environment of an engine's backend or in the SDK's own (Python 3.8). After "ready", each
line on standard input is the number of a picture; the answer is a JSON list of the milliseconds of
each step. Pictures are decoded and scaled to the given size before that.
"""

from __future__ import annotations  # read by Python 3.8, too

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import cv2
import numpy as np

WARMUP = 5


def main(kind: str, folder: str, size: str, *pictures: str) -> None:
    """Answer line by line; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    width, height = map(int, size.split("x"))
    decoded = [cv2.resize(cv2.imread(picture), (width, height)) for picture in pictures]
    detect = {"sdk": sdk, "ours": ours}[kind](folder)
    for _ in range(WARMUP):
        detect(decoded[0])
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        milliseconds = [step / 1e6 for step in detect(decoded[int(line)])]
        print(json.dumps(milliseconds), file=answers, flush=True)


def sdk(folder: str) -> Callable[[np.ndarray], list[int]]:
    """MMDeploy's SDK: one call does all."""
    from mmdeploy_runtime import Detector  # noqa: PLC0415

    detector = Detector(model_path=folder, device_name="cpu", device_id=0)

    def detect(picture: np.ndarray) -> list[int]:
        began = perf_counter_ns()
        detector(picture)
        return [perf_counter_ns() - began]

    return detect


def ours(folder: str) -> Callable[[np.ndarray], list[int]]:
    """Our runner, step by step as the stage `profile` times it."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    from mmdet_jetson.stages.engines.opening import open_engine  # noqa: PLC0415
    from mmdet_jetson.stages.profile import time_detection  # noqa: PLC0415

    detector = open_engine(Path(folder))
    return lambda picture: time_detection(detector, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
