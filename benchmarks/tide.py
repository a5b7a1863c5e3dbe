"""Errors by type beside tidecv's, on the same detections.

    python -m benchmarks.tide PYTHON-WITH-TIDECV [DATASET EVALUATION]...

Each pair is two checked-out folders; sets that a seed draws come after them. What is printed is
the largest difference in points of AP, between ours and tidecv's own objects averaged over the
classes that have objects, and then as tidecv averages, which also counts classes without any.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from mmdet_jetson.contract.analysis import ERROR_TYPES
from mmdet_jetson.stages.annotations.coco_file import (
    CocoFile,
    Prediction,
    read_predictions,
    read_split,
)
from mmdet_jetson.stages.evaluation.error_types import error_split
from mmdet_jetson.stages.evaluation.overlaps import overlaps_of

Set = tuple[CocoFile, list[Prediction]]
DRAWN = [
    {"seed": seed, "classes": 1 + seed % 6, "decimals": 1 if seed % 4 == 0 else 6}
    for seed in range(16)
] + [
    {"seed": seed, "classes": 1 + seed % 6, "most_objects": 30, "most_found": 200}
    for seed in range(16, 24)
]  # fmt: skip


def main() -> None:
    """Compare and print a table in Markdown."""
    python, *folders = sys.argv[1:]
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "unit"))
    from small_splits import drawn_split  # noqa: PLC0415

    named: list[tuple[str, Set]] = []
    for dataset, evaluation in zip(folders[::2], folders[1::2], strict=True):
        predictions = read_predictions(Path(evaluation, "predictions.json"))
        named.append((Path(evaluation).name, (read_split(Path(dataset, "val.json")), predictions)))
    named += [(f"drawn by seed {each['seed']}", drawn_split(**each)) for each in DRAWN]
    told = json.dumps([each for _, each in named])
    worker = Path(__file__).with_name("tide_worker.py")
    done = subprocess.run([python, worker], input=told, text=True, check=True, capture_output=True)
    print("| set | detections | AP50 | largest difference | as tidecv averages |")
    print("|---|---:|---:|---:|---:|")
    for (name, (content, predictions)), theirs in zip(named, json.loads(done.stdout), strict=True):
        ours = split_of(content, predictions)
        apart = [
            max(abs(one - other) for one, other in zip(ours, theirs[how], strict=True))
            for how in ("classes with objects", "plain")
        ]
        print(f"| {name} | {len(predictions)} | {ours[0]:.2f} | {apart[0]:.1e} | {apart[1]:.1e} |")


def split_of(content: CocoFile, predictions: list[Prediction]) -> list[float]:
    """Give ours, in points."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "val.json")
        path.write_text(json.dumps(content))
        split = error_split(overlaps_of(path, predictions))
    assert split is not None
    lost = [split.ap50_lost[kind] for kind in ERROR_TYPES]
    return [100 * each for each in (split.ap50, *lost, split.false_alarms, split.misses)]


if __name__ == "__main__":
    main()
