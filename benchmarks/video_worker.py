"""Detect on a video without threads, for ``infer_video.py``; runs in the engine's environment.

    python video_worker.py ENGINE VIDEO network|alone|loop OUT.mp4

``network`` runs the engine on frames that are scaled already, ``alone`` detects on frames that are
decoded already. ``loop`` reads, detects, draws and writes one
after the other. Prints the frames per second.
"""

import sys
from pathlib import Path
from time import perf_counter

import cv2

ENGINE, VIDEO, KIND, OUT = sys.argv[1:]
SAMPLE = 30
sys.path.insert(0, ENGINE)
import infer  # type: ignore[import-not-found]  # noqa: E402 - beside the engine
from mmdet_jetson_infer.stages.inference.drawing import (  # type: ignore[import-not-found]  # noqa: E402
    draw_boxes,
)


def main() -> None:
    detector = infer.load()
    capture = cv2.VideoCapture(VIDEO)
    rate = capture.get(cv2.CAP_PROP_FPS)
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if KIND == "network":
        inputs = detector.feeding(capture.read()[1])
        detector.network(*inputs)
        began = perf_counter()
        for _ in range(frames):
            detector.network(*inputs)
        print(frames / (perf_counter() - began))
        return
    if KIND == "alone":
        pictures = [capture.read()[1] for _ in range(SAMPLE)]
        detector.detect(pictures[0])  # the first one takes longer
        began = perf_counter()
        for number in range(frames):
            detector.detect(pictures[number % SAMPLE])
        print(frames / (perf_counter() - began))
        return
    writer, number = None, 0
    began = perf_counter()
    while True:
        there, picture = capture.read()
        if not there:
            break
        found = [each for each in detector.detect(picture) if each.score >= infer.threshold()]
        drawn = draw_boxes(picture, found, detector.classes)
        if writer is None:
            size = picture.shape[1], picture.shape[0]
            writer = cv2.VideoWriter(OUT, cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        writer.write(drawn)
        number += 1
    if writer:
        writer.release()
    print(number / (perf_counter() - began))
    Path(OUT).unlink()


main()
