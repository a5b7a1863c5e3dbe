"""Whether `infer.py` finds with a threshold what the evaluation says that it finds.

    python -m benchmarks.threshold PYTHON ENGINE EVALUATION DATASET

ENGINE, EVALUATION and DATASET are checked-out folders, PYTHON is one that runs the engine.
`infer.py --json` runs over the validation pictures with the threshold of thresholds.json, and with
some of the curve. What it prints is matched by plain loops here, not by the evaluation's code.
"""

import json
import subprocess
import sys
from pathlib import Path

from mmdet_jetson.contract.analysis import ANALYSIS, IOU, THRESHOLDS, Analysis, Thresholds
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.stages.annotations.coco_file import read_split

Box = list[float]
SOME = 8
"""How many thresholds of the curve are tried besides."""


def main() -> None:
    """Compare and print a table in Markdown."""
    python, engine, evaluation, dataset = sys.argv[1:]
    deploy = read_record(Path(engine, THRESHOLDS), Thresholds).deploy
    points = read_record(Path(evaluation, ANALYSIS), Analysis).together.points
    print("| threshold | precision told | of infer.py | recall told | of infer.py |")
    print("|---|---:|---:|---:|---:|")
    for point in (deploy, *points[:: max(1, len(points) // SOME)]):
        chosen = [] if point is deploy else ["--threshold", repr(point.threshold)]
        command = [python, f"{engine}/infer.py", "--json", *chosen, f"{dataset}/val"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        right, found, objects = judged(Path(dataset), told.splitlines())
        print(
            f"| {point.threshold!r} | {point.precision:.4f} | {right / found:.4f} "
            f"| {point.recall:.4f} | {right / objects:.4f} |"
        )


def judged(dataset: Path, lines: list[str]) -> tuple[int, int, int]:
    """Count what is right, what is found, and what there is to find; crowds are not known here."""
    content = read_split(dataset / "val.json")
    names = {image["id"]: image["file_name"] for image in content["images"]}
    truth: dict[str, list[tuple[str, Box]]] = {name: [] for name in names.values()}
    classes = {each["id"]: each["name"] for each in content["categories"]}
    for each in content["annotations"]:
        x, y, width, height = each["bbox"]
        kind = classes[each["category_id"]]
        truth[names[each["image_id"]]].append((kind, [x, y, x + width, y + height]))
    right = found = 0
    for line in map(json.loads, lines):
        left = list(truth[str(Path(line["picture"]).relative_to(dataset / "val"))])
        rows = zip(line["scores"], line["classes"], line["boxes"], strict=True)
        for _, kind, box in sorted(rows, key=lambda row: -row[0]):
            found += 1
            overlaps = [iou(each, box) if other == kind else 0.0 for other, each in left]
            if max(overlaps, default=0.0) >= IOU:
                del left[overlaps.index(max(overlaps))]
                right += 1
    return right, found, len(content["annotations"])


def iou(one: Box, other: Box) -> float:
    """The overlap of two boxes by their corners."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    both = max(0.0, right - left) * max(0.0, bottom - top)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (one, other)]
    return both / (sum(areas) - both)


if __name__ == "__main__":
    main()
