"""What the suite of environment `train` stands on; elsewhere its libraries are missing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmdet_jetson.stages.job import StageJob

ROOT = Path(__file__).parents[3]
CLASSES = ["ellipse", "rectangle"]
SIDE = 64

collect_ignore_glob = [] if importlib.util.find_spec("mmengine") else ["test_*.py"]


@pytest.fixture(scope="session")
def write_split() -> Callable[..., None]:
    """Write a split of a `dataset` artifact: grey pictures with one white square each."""

    def write(folder: Path, split: str, count: int, classes: list[str], annotated: bool = True):
        (folder / split).mkdir(parents=True)
        squares = [(4 * n % 24, 8 * n % 24, 24 + n % 16) for n in range(1, count + 1)]
        for number, square in enumerate(squares, 1):
            (folder / split / f"{number}.ppm").write_bytes(_picture(90 + number, *square))
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

    return write


def _picture(grey: int, left: int, top: int, side: int) -> bytes:
    """A picture in the PPM format, which needs no library to write."""
    rows = [bytearray([grey] * 3 * SIDE) for _ in range(SIDE)]
    for row in rows[top : top + side]:
        row[3 * left : 3 * (left + side)] = bytes([250] * 3 * side)
    return b"P6 %d %d 255\n" % (SIDE, SIDE) + b"".join(rows)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, write_split: Callable[..., None]) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_split(folder, "train", 4, CLASSES)
    write_split(folder, "val", 2, CLASSES)
    return folder


@pytest.fixture(scope="session")
def train_job(dataset: Path) -> Callable[..., StageJob]:
    """Prepare a job of a short training in ``folder``; keywords replace its parameters."""

    def prepare(folder: Path, data: Path = dataset, weights: Path | None = None, **wanted: Any):
        for name in ("work", "out"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        parameters = {
            "config": "configs/train/rtmdet_tiny_demo.py",
            "classes": CLASSES,
            "input_size": [SIDE, SIDE],
            "epochs": 1,
            "batch_size": 4,
            "seed": 0,
            "workers": 0,
            "device": "cpu",
            "overrides": {},
            **wanted,
        }
        inputs = {"dataset": data, "config": ROOT, **({"weights": weights} if weights else {})}
        content = {
            "stage": "train",
            "parameters": parameters,
            "inputs": {name: str(path) for name, path in inputs.items()},
            "outputs": {"checkpoint": "out"},
            "work": "work",
        }
        (folder / "job.json").write_text(json.dumps(content))
        return Job.load(folder, (folder / "progress").open("a"))

    return prepare
