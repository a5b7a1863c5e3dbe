"""COCO files of which most was read before: what comes of them is what comes of them anew."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from labelled import HEIGHT, PARAMETERS, WIDTH, job, noise
from test_dataset_again import digests_of, spoil

from mmdet_jetson.contract.parameters.dataset import KNOWN, DatasetParameters, SplitLocation
from mmdet_jetson.contract.taken import write_digests
from mmdet_jetson.stages import dataset
from mmdet_jetson.stages.annotations import examples
from mmdet_jetson.stages.annotations.formats import coco
from mmdet_jetson.stages.annotations.records import Record
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.reporting import dataset_glance

Coco = dict[str, Any]
COCO = replace(
    PARAMETERS,
    format="coco",
    default_class=None,
    train=SplitLocation("train", "train.json"),
    val=SplitLocation("val", "val.json"),
)


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_glance, "glance_charts", lambda _: [])


def box(x: float, y: float, width: float, height: float) -> Coco:
    return {"category_id": 1, "bbox": [x, y, width, height], "iscrowd": 0}


def polygon(*numbers: float) -> Coco:
    xs, ys = numbers[::2], numbers[1::2]
    sides = max(xs) - min(xs), max(ys) - min(ys)
    return {**box(min(xs), min(ys), *sides), "category_id": 2, "segmentation": [list(numbers)]}


OBJECTS = [
    box(4, 6, 10, 8),
    box(1.5, 2.25, 20, 21.5),
    polygon(3, 3, 20, 4, 18.5, 22, 5, 20),
    polygon(8, 2, 30, 6, 12, 25),
    {**box(0, 0, 40, 30), "iscrowd": 1},  # which is warned of
    box(30, 20, 30, 20),  # past the edge, which is warned of
    {**box(2, 2, 4, 4), "segmentation": {"size": [HEIGHT, WIDTH], "counts": [62, 3, 27, 3, 1105]}},
]


def source(folder: Path, pictures: int = 8) -> Path:
    """Two COCO files of pictures with some of the objects each."""
    for split, first in (("train", 0), ("val", 100)):
        images: list[Coco] = []
        annotations: list[Coco] = []
        for seed in range(first, first + pictures):
            noise(folder / split / f"{seed}.bmp", seed)
            images.append(picture(seed))
            shown = OBJECTS if seed % 3 == 0 else [*OBJECTS[:4], OBJECTS[-1]]
            chosen = random.Random(seed).sample(shown, seed % 4)
            annotations += [{**each, "image_id": seed} for each in chosen]
        for number, each in enumerate(annotations):
            each["id"] = number
        categories = [{"id": 1, "name": "balloon"}, {"id": 2, "name": "kite"}]
        save(
            folder, split, {"images": images, "annotations": annotations, "categories": categories}
        )
    return folder


def picture(seed: int) -> Coco:
    return {"id": seed, "file_name": f"{seed}.bmp", "width": WIDTH, "height": HEIGHT}


def save(folder: Path, split: str, content: Coco) -> None:
    (folder / f"{split}.json").write_text(json.dumps(content))


def load(folder: Path, split: str = "train") -> Coco:
    content: Coco = json.loads((folder / f"{split}.json").read_text())
    return content


def run(
    folder: Path, own: Path, last: Path | None = None, parameters: DatasetParameters = COCO
) -> dict[str, bytes] | str:
    """What a run makes, or what it refuses; ``last`` is the folder of the run before."""
    made = job(folder, own, parameters)
    write_digests(folder, {"source": digests_of(own)})
    if last:
        shutil.copytree(last / "work" / KNOWN, folder / "work" / KNOWN)
    try:
        result = dataset.run(made)
    except StageError as error:
        return str(error)
    output = folder / "output"
    return {
        "warnings": json.dumps(result.warnings).encode(),
        "taken": (folder / "taken.json").read_bytes(),
        **{str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*.*")},
    }


def test_what_is_known_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = source(tmp_path / "own")
    first = run(tmp_path / "one", own)
    looked: list[str] = []
    real = examples._annotations

    def look(record: Record, *rest: Any) -> Any:
        looked.append(record.name)
        return real(record, *rest)

    monkeypatch.setattr(examples, "_annotations", look)
    assert run(tmp_path / "two", own, tmp_path / "one") == first
    told = {
        each["file_name"]
        for split in ("train", "val")
        for each in load(own, split)["images"]
        if all(said(load(own, split), each["id"]))
    }
    assert set(looked) == told
    assert 2 < len(told) < 12


def said(content: Coco, image: int) -> list[bool]:
    """Whether something is said of any object of a picture, or has to be looked for: it has none."""
    remarked = [each["bbox"] for each in OBJECTS[4:6]]
    shown = [each["bbox"] for each in content["annotations"] if each["image_id"] == image]
    return [True] if any(box in remarked for box in shown) else [False for _ in shown]


def add_in_the_middle(content: Coco, own: Path) -> None:
    noise(own / "train/50.bmp", 50)
    content["images"].insert(3, picture(50))
    content["annotations"].insert(2, {**OBJECTS[0], "image_id": 50})
    for number, each in enumerate(content["annotations"]):
        each["id"] = number + 7


def renumber_pictures(content: Coco, _: Path) -> None:
    for each in content["images"]:
        each["id"] += 1000
    for each in content["annotations"]:
        each["image_id"] += 1000


def renumber_classes(content: Coco, _: Path) -> None:
    for each in content["categories"]:
        each["id"] = 3 - each["id"]


def remove_a_picture(content: Coco, own: Path) -> None:
    gone = content["images"].pop(1)
    (own / "train" / gone["file_name"]).unlink()
    content["annotations"] = [
        each for each in content["annotations"] if each["image_id"] != gone["id"]
    ]


def list_a_picture_twice(content: Coco, _: Path) -> None:
    content["images"].append({**content["images"][1], "id": 77})


def enlarge(content: Coco, own: Path) -> None:
    noise(own / "train/2.bmp", 61, (60, 50))
    content["images"][2].update(width=60, height=50)


def repeat_an_object(content: Coco, _: Path) -> None:
    content["annotations"].append({**content["annotations"][0], "id": 9999})


def in_all(key: str, value: object) -> Callable[[Coco, Path], None]:
    def change(content: Coco, _: Path) -> None:
        for each in content["annotations"]:
            each[key] = value

    return change


def in_one(section: str, index: int, **values: object) -> Callable[[Coco, Path], None]:
    def change(content: Coco, _: Path) -> None:
        content[section][index].update(values)

    return change


CHANGES: dict[str, Callable[[Coco, Path], object]] = {
    "nothing": lambda *_: None,
    "a picture in the middle": add_in_the_middle,
    "a picture less": remove_a_picture,
    "other ids of pictures": renumber_pictures,
    "classes change their ids": renumber_classes,
    "classes change their names": in_one("categories", 0, name="kite 2"),
    "two classes of one name": in_one("categories", 0, name="kite"),
    "a class nobody knows": in_one("categories", 1, name="dragon"),
    "an object moves": in_one("annotations", 0, bbox=[3, 3, 12, 9], segmentation=[]),
    "an object of another class": in_one("annotations", 0, category_id=2),
    "an object is a crowd": in_one("annotations", 0, iscrowd=1),
    "an object is to be ignored": in_one("annotations", 0, ignore=1),
    "an object lies outside": in_one("annotations", 0, bbox=[90, 90, 9, 9], segmentation=[]),
    "a broken outline": in_one("annotations", 0, segmentation=[[1, 2, 3]]),
    "one more thing is said": in_all("score", 0.5),
    "an object twice": repeat_an_object,
    "an id twice": in_one("annotations", 0, id=3),
    "an id as text": in_one("annotations", 0, id="3"),
    "a picture's id as text": in_one("annotations", 0, image_id="1"),
    "a class's id as text": in_one("annotations", 0, category_id="1"),
    "a picture listed twice": list_a_picture_twice,
    "a picture without its size": in_one("images", 2, width=None),
    "a picture of another size": in_one("images", 2, width=WIDTH + 1),
    "the pixels of the other split": lambda _, own: noise(own / "train/2.bmp", 102),
    "a larger picture": enlarge,
    "the tool that wrote it": lambda content, _: content.update(
        info={"contributor": "Label Studio"}
    ),
}


TELL_THE_SAME = {
    "nothing",
    "other ids of pictures",
    "one more thing is said",
    "an id as text",
    "a picture without its size",
    "the tool that wrote it",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_never_taken_from_the_run_before(tmp_path: Path, change: str) -> None:
    own = source(tmp_path / "own")
    before = run(tmp_path / "one", own)
    content = load(own)
    CHANGES[change](content, own)
    save(own, "train", content)

    after = run(tmp_path / "two", own, tmp_path / "one")
    assert after == run(tmp_path / "anew", own)
    assert (after == before) is (change in TELL_THE_SAME)
    if isinstance(after, dict):
        assert run(tmp_path / "three", own, tmp_path / "two") == after


SETTINGS: dict[str, Coco] = {
    "other order": {"classes": ("kite", "balloon")},
    "one class less": {"classes": ("kite",)},
    "the rest is left out": {"classes": ("kite",), "others": "ignore"},
    "renamed": {"classes": ("kite", "ball"), "rename": {"balloon": "ball"}},
    "renamed for nothing": {"rename": {"ball": "balloon"}},
    "one class more": {"classes": ("balloon", "kite", "dragon")},
}


@pytest.mark.parametrize("change", SETTINGS)
def test_classes_are_those_of_the_settings_of_now(tmp_path: Path, change: str) -> None:
    own = source(tmp_path / "own")
    before = run(tmp_path / "one", own)
    settings = replace(COCO, **SETTINGS[change])

    after = run(tmp_path / "two", own, tmp_path / "one", settings)
    assert after == run(tmp_path / "anew", own, parameters=settings)
    assert after != before


def test_what_has_to_be_read_after_all_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = source(tmp_path / "own")
    first = run(tmp_path / "one", own)
    (tmp_path / "one/work" / KNOWN / "extents.txt").unlink()
    read: list[object] = []
    real = coco._Reading._read_anew

    def note(self: coco._Reading, image: object, annotations: list[Any]) -> Any:
        read.append((self.shown, image))
        return real(self, image, annotations)  # type: ignore[arg-type]

    monkeypatch.setattr(coco._Reading, "_read_anew", note)
    assert run(tmp_path / "two", own, tmp_path / "one") == first
    assert read
    assert len(read) == len(set(read))


@pytest.mark.parametrize("file", ["pictures.bin", "extents.txt", "readings.json", "pairs.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "none"])
def test_damaged_notes_are_not_believed(tmp_path: Path, how: str, file: str) -> None:
    own = source(tmp_path / "own")
    first = run(tmp_path / "one", own)
    spoil(tmp_path / "one/work" / KNOWN / file, how)

    assert run(tmp_path / "two", own, tmp_path / "one") == first
