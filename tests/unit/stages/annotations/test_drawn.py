import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdet_jetson.stages.annotations import drawn, geometry
from mmdet_jetson.stages.annotations.drawn import draw_dataset
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.formats import read_annotations
from mmdet_jetson.stages.annotations.records import Labels, Record

SIZE = (160, 120)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, 30, 6, SIZE, seed=0)
    return folder


def pixels(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    picture = cv2.imread(str(path), flags)
    assert picture is not None
    return np.asarray(picture)


def records(folder: Path, split: str) -> list[Record]:
    findings = Findings()
    labels = Labels(drawn.CLASSES, drawn.LABEL_ATTRIBUTE, None)
    path = folder / split / drawn.ANNOTATIONS
    found = read_annotations(drawn.FORMAT, path, split, labels, findings)
    findings.raise_defects()
    return found


@pytest.mark.parametrize(("split", "count"), [("train", 30), ("val", 6)])
def test_each_split_has_its_pictures_in_the_asked_size(
    folder: Path, split: str, count: int
) -> None:
    found = records(folder, split)
    assert len(found) == count
    shapes = {pixels(folder / split / record.name).shape for record in found}
    assert shapes == {(SIZE[1], SIZE[0], 3)}


def test_one_to_three_shapes_that_do_not_touch(folder: Path) -> None:
    for record in records(folder, "train"):
        assert 1 <= len(record.regions) <= 3
        boxes = [geometry.place(item.outlines, *SIZE).extent.box for item in record.regions]
        for index, (x, y, width, height) in enumerate(boxes):
            for left, top, other_width, other_height in boxes[:index]:
                apart_x = x >= left + other_width or left >= x + width
                assert apart_x or y >= top + other_height or top >= y + height


def test_every_shape_and_class_occurs(folder: Path) -> None:
    content = json.loads((folder / "train" / drawn.ANNOTATIONS).read_text())
    regions = [item for entry in content.values() for item in entry["regions"].values()]
    names = {item["shape_attributes"]["name"] for item in regions}
    assert names == {"ellipse", "circle", "rect", "polygon"}
    assert {item["region_attributes"]["label"] for item in regions} == set(drawn.CLASSES)


def test_validation_file_has_the_form_of_version_2(folder: Path) -> None:
    content = json.loads((folder / "val" / drawn.ANNOTATIONS).read_text())
    assert all(isinstance(entry["regions"], list) for entry in content.values())


def test_annotations_lie_on_what_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paint white on black, and compare the white with the outlines as the converter reads them."""
    monkeypatch.setattr(drawn, "_background", lambda size, rng: np.zeros((size[1], size[0], 3)))
    monkeypatch.setattr(
        drawn, "_surface", lambda size, hues, rng: np.full((size[1], size[0], 3), 255.0)
    )
    draw_dataset(tmp_path / "d", 20, 1, SIZE, seed=3)
    for record in records(tmp_path / "d", "train"):
        white = pixels(tmp_path / "d/train" / record.name, cv2.IMREAD_GRAYSCALE) > 127
        extents = [geometry.place(item.outlines, *SIZE).extent for item in record.regions]
        assert white.sum() == pytest.approx(sum(extent.area for extent in extents), rel=0.03)
        ys, xs = np.nonzero(white)
        left = min(extent.box[0] for extent in extents)
        bottom = max(extent.box[1] + extent.box[3] for extent in extents)
        assert xs.min() == pytest.approx(left, abs=1)
        assert ys.max() + 1 == pytest.approx(bottom, abs=1)


def test_same_arguments_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "again", 30, 6, SIZE, seed=0)
    draw_dataset(tmp_path / "other", 30, 6, SIZE, seed=1)
    assert digests(tmp_path / "again") == digests(folder)
    assert not set(digests(tmp_path / "other").values()) & set(digests(folder).values())


def test_no_picture_is_in_both_splits(folder: Path) -> None:
    train, val = (set(digests(folder / split).values()) for split in ("train", "val"))
    assert not train & val
