"""How long the analysis of an evaluation takes, beside COCO's own figures of the same detections.

    python -m benchmarks.analysis [--pictures 5000] [--detections 100] [--classes 80]

Detections and objects are drawn by a seed, about 7 objects a picture as in COCO's val2017. Drawings
of the worst pictures, at most 36 whatever the size of the split, are in the time.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from mmdet_jetson.contract.analysis import ANALYSIS
from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.evaluation import analysis
from mmdet_jetson.stages.evaluation.coco_figures import coco_figures
from mmdet_jetson.stages.evaluation.evaluation import Validation
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

WIDTH, HEIGHT, OBJECTS = 640, 480, 7
LETTERBOX = Preprocessing((640, 640), True, (114, 114, 114), (0, 0, 0), (1, 1, 1), to_rgb=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--classes", type=int, default=80)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        predictions = synthetic(folder, asked.pictures, asked.detections, asked.classes)
        validation = Validation.read(folder)
        wish = analysis.Wish(0.9, otherwise=0.3)
        before = most_memory()
        with Took("analysis"):
            analysis.write_analysis(folder, validation, predictions, LETTERBOX, wish)
        print(f"most memory {most_memory():.0f} MiB, of which {before:.0f} before the analysis")
        print(f"analysis.json: {(folder / ANALYSIS).stat().st_size / 1e6:.2f} MB")
        with Took("COCO's figures"):
            coco_figures(validation.annotations, predictions)
        print(f"most memory {most_memory():.0f} MiB")


class Took:
    """Prints how long something took, by the clock and in seconds of processor."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.start, self.busy = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        seconds, busy = time.perf_counter() - self.start, time.process_time() - self.busy
        print(f"{self.what}: {seconds:.1f} s ({busy:.1f} s of processor)")


def most_memory() -> float:
    """Say in MiB how much memory this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def synthetic(folder: Path, pictures: int, most: int, classes: int) -> "list[Prediction]":
    """Write a ``val.json`` and give detections, three quarters of them near an object."""
    random = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    predictions: list[Prediction] = []
    grey = cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 128, np.uint8))[1].tobytes()
    (folder / "val").mkdir()
    for picture in range(1, pictures + 1):
        name = f"{picture:05d}.jpg"
        (folder / "val" / name).write_bytes(grey)
        images.append({"id": picture, "file_name": name, "width": WIDTH, "height": HEIGHT})
        count = int(random.poisson(OBJECTS))
        labels = np.minimum(random.geometric(4 / classes, count), classes)
        boxes = _boxes(random, count)
        for label, box in zip(labels.tolist(), boxes.round(2).tolist(), strict=True):
            number = len(annotations) + 1
            of = {"id": number, "image_id": picture, "category_id": label, "iscrowd": 0}
            annotations.append({**of, "bbox": box, "area": box[2] * box[3]})
        found, label, scores = _detected(random, most, labels, boxes, classes)
        predictions += [
            {"image_id": picture, "category_id": each, "bbox": box, "score": score}
            for each, box, score in zip(label, found, scores, strict=True)
        ]
    categories = [{"id": label, "name": f"class {label}"} for label in range(1, classes + 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "val.json").write_text(json.dumps(content))
    return predictions


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    sides = np.exp(random.uniform(np.log(8), np.log(300), (count, 2)))
    return np.hstack([random.uniform(0, [WIDTH, HEIGHT], (count, 2)), sides])


def _detected(
    random: np.random.Generator, most: int, labels: np.ndarray, boxes: np.ndarray, classes: int
) -> "tuple[list[list[float]], list[int], list[float]]":
    near = np.flatnonzero(random.random(most) < 0.75 * bool(len(boxes)))
    found, label = _boxes(random, most), random.integers(1, classes + 1, most)
    if len(near):
        which = random.integers(0, len(boxes), len(near))
        spread = np.tile(boxes[which, 2:], 2) * 0.15
        found[near] = np.abs(boxes[which] + random.normal(size=(len(near), 4)) * spread) + 0.1
        same = random.random(len(near)) < 0.6
        label[near[same]] = labels[which[same]]
    return found.round(3).tolist(), label.tolist(), random.beta(1, 4, most).round(6).tolist()


if __name__ == "__main__":
    main()
