"""``infer.py`` of the demo's engine on the demo's validation pictures, as a user runs it."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from commands import ROOT, Commands

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.contract.analysis import IOU, THRESHOLDS, Thresholds
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.environments.packages import device_environment, python_of

TARGET = "pc-onnxruntime"
Box = Sequence[float]
Record = dict[str, list]  # type: ignore[type-arg]


@pytest.fixture(scope="module")
def taken(demo_run: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine and the dataset of the demo, checked out as its report says."""
    folder = tmp_path_factory.mktemp("taken")
    for step in (f"engine-{TARGET}", "dataset"):
        done = demo_run.run("checkout", f"demo.{step}", str(folder / step.partition("-")[0]))
        assert done.returncode == 0, done.stderr
    return folder


def infer(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    python = python_of(device_environment(ROOT, "deploy"), read_settings(), print)
    return subprocess.run(
        [str(python), "-I", str(folder / "engine/infer.py"), str(folder / "dataset/val"), *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inside = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return inside / (sum(areas) - inside)


def right(found: Iterable[Box], objects: Sequence[Box]) -> int:
    """Count detections, best first, that meet an object which no better one has met."""
    left, count = list(objects), 0
    for box in found:
        nearest = max(left, key=lambda each: iou(box, each), default=None)
        if nearest is not None and iou(box, nearest) >= IOU:
            left.remove(nearest)
            count += 1
    return count


def truth_of(dataset: Path) -> dict[tuple[str, str], list[Box]]:
    """Give the objects by picture and class."""
    content = json.loads((dataset / "val.json").read_text())
    names = {each["id"]: each["file_name"] for each in content["images"]}
    classes = {each["id"]: each["name"] for each in content["categories"]}
    truth: dict[tuple[str, str], list[Box]] = {}
    for each in content["annotations"]:
        assert not each["iscrowd"]
        x, y, width, height = each["bbox"]
        place = names[each["image_id"]], classes[each["category_id"]]
        truth.setdefault(place, []).append((x, y, x + width, y + height))
    return truth


def counted(records: Iterable[Record], dataset: Path, only: str = "") -> tuple[int, int, int]:
    """Count what is right, what is detected and what there is, of one class or all."""
    truth = truth_of(dataset)
    met = detected = 0
    for record in records:
        picture = Path(str(record["picture"])).name
        for name in sorted(set(record["classes"])):
            if only in ("", name):
                pairs = zip(record["classes"], record["boxes"], strict=True)
                found = [box for its, box in pairs if its == name]
                met += right(found, truth.get((picture, name), []))
                detected += len(found)
    return met, detected, sum(len(boxes) for (_, n), boxes in truth.items() if only in ("", n))


def test_the_threshold_gives_the_precision_and_the_recall_that_it_is_named_for(
    taken: Path,
) -> None:
    named = read_record(taken / "engine" / THRESHOLDS, Thresholds)

    done = infer(taken, "--json")

    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == len(list((taken / "dataset/val").iterdir())) == 80
    met, detected, objects = counted(records, taken / "dataset")
    assert named.deploy.precision
    assert named.deploy.recall
    # To within a picture, which is to within a detection or an object here.
    assert met == pytest.approx(named.deploy.recall * objects, abs=1)
    assert detected == pytest.approx(met / named.deploy.precision, abs=1)
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"threshold {named.deploy.threshold:.7g}: {named.reason} (precision ")


def test_so_does_the_threshold_of_each_class(taken: Path) -> None:
    named = read_record(taken / "engine" / THRESHOLDS, Thresholds)
    assert set(named.per_class) == {"ellipse", "rectangle"}

    done = infer(taken, "--json", "--per-class")

    records = [json.loads(line) for line in done.stdout.splitlines()]
    for name, point in named.per_class.items():
        met, detected, objects = counted(records, taken / "dataset", name)
        assert point.precision
        assert point.recall
        assert met == pytest.approx(point.recall * objects, abs=1)
        assert detected == pytest.approx(met / point.precision, abs=1)


def test_text_and_json_say_the_same(taken: Path) -> None:
    as_json = infer(taken, "--json")
    as_text = infer(taken, "--save", "drawn")

    found = [score for line in as_json.stdout.splitlines() for score in json.loads(line)["scores"]]
    told = [line.split()[1] for line in as_text.stdout.splitlines() if line.startswith("  ")]
    assert told == [f"{score:.3f}" for score in found]
    assert len(list((taken / "drawn").iterdir())) == 80
