"""Short trainings of the demo's detector on a handful of drawn pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mmdet_jetson.contract.job import OUTPUT, WORK, Job, Progress, parse_progress, write_job
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.contract.records import encode
from mmdet_jetson.stages.job import StageJob

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[4]
CLASSES = ("ellipse", "rectangle")
SIDE = 64
PARAMETERS = TrainParameters(
    config="configs/train/rtmdet_tiny_demo.py",
    epochs=1,
    batch_size=4,
    seed=0,
    workers=0,
    device="cpu",
    overrides={},
    classes=CLASSES,
    input_size=(SIDE, SIDE),
)


class Curves(TypedDict):
    """What ``metrics.json`` of a `checkpoint` artifact has over steps and over epochs."""

    train: list[dict[str, float]]
    val: list[dict[str, float | None]]


class TrainMetrics(TypedDict):
    """``metrics.json`` of a `checkpoint` artifact."""

    best: dict[str, float | None]
    epochs: int
    curves: Curves
    device: str


def write_split(
    folder: Path, split: str, count: int, classes: Sequence[str] = CLASSES, annotated: bool = True
) -> None:
    """Write a split of a `dataset` artifact: grey pictures with one white square each."""
    (folder / split).mkdir(parents=True)
    squares = [(4 * n % 24, 8 * n % 24, 24 + n % 16) for n in range(1, count + 1)]
    for number, square in enumerate(squares, 1):
        (folder / split / f"{number}.ppm").write_bytes(picture(90 + number, *square))
    images = [
        {"id": number, "file_name": f"{number}.ppm", "width": SIDE, "height": SIDE}
        for number in range(1, count + 1)
    ]
    annotations = [
        {
            "id": number,
            "image_id": number,
            "category_id": 1 + number % len(classes),
            "bbox": [left, top, side, side],
            "area": side * side,
            "iscrowd": 0,
        }
        for number, (left, top, side) in enumerate(squares, 1)
    ]
    content = {
        "images": images,
        "annotations": annotations if annotated else [],
        "categories": [{"id": index, "name": name} for index, name in enumerate(classes, 1)],
    }
    (folder / f"{split}.json").write_text(json.dumps(content))


def picture(grey: int, left: int, top: int, side: int) -> bytes:
    """A picture in the PPM format, which needs no library to write."""
    rows = [bytearray([grey] * 3 * SIDE) for _ in range(SIDE)]
    for row in rows[top : top + side]:
        row[3 * left : 3 * (left + side)] = bytes([250] * 3 * side)
    return b"P6 %d %d 255\n" % (SIDE, SIDE) + b"".join(rows)


def train_job(
    folder: Path,
    dataset: Path,
    parameters: TrainParameters = PARAMETERS,
    weights: Path | None = None,
    config: Path = ROOT,
) -> StageJob[TrainParameters]:
    """Lay out a job of a short training in ``folder``; ``config`` is its input of that name."""
    for name in (OUTPUT, WORK):
        (folder / name).mkdir(parents=True, exist_ok=True)
    inputs = {"dataset": dataset, "config": config, **({"weights": weights} if weights else {})}
    paths = {name: str(path) for name, path in inputs.items()}
    write_job(folder, Job("train", encode(parameters), paths))
    return load_job(folder)


def load_job(folder: Path) -> StageJob[TrainParameters]:
    """Read the job in ``folder``; its progress goes to a file."""
    return StageJob.load(folder, TrainParameters, (folder / "progress").open("a"))


def progress_of(job: StageJob[TrainParameters]) -> list[Progress]:
    """All that a job has reported."""
    lines = Path(job.channel.name).read_text().splitlines()
    found = [parse_progress(line) for line in lines]
    assert None not in found
    return [each for each in found if each]


def metrics_of(job: StageJob[TrainParameters]) -> TrainMetrics:
    """What a finished training measured."""
    metrics: TrainMetrics = json.loads((job.output / "metrics.json").read_text())
    return metrics
