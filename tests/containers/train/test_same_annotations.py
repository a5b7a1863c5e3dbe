"""What MMDetection trains on are the annotations that the stage `dataset` keeps, none more or fewer."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from mmdet.datasets import CocoDataset

from mmdet_jetson.stages.annotations.coco_writing import to_coco
from mmdet_jetson.stages.annotations.examples import Split, examine
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.formats.coco import read
from mmdet_jetson.stages.annotations.records import Labels

CLASSES = ("kite", "balloon")
WIDTH, HEIGHT = 80, 60
RING = [10, 20, 50, 20, 50, 50, 10, 50]

# What is said of each is in the unit tests; here, that it is what MMDetection makes of the file.
AS_MMDETECTION: list[dict[str, object]] = [
    {},
    {"bbox": [10, 20, 40, 30], "segmentation": [RING]},
    {"bbox": [60, 5, 15, 30], "iscrowd": 1},
    {"bbox": [60, 5, 16, 31], "ignore": 1},
    {"bbox": [5, 5, 0, 30]},
    {"bbox": [5, 5, 30, 0]},
    {"bbox": [5, 5, -4, 30]},
    {"bbox": [5, 5, 0.5, 30]},
    {"bbox": [5, 5, 30, 0.99]},
    {"bbox": [5, 5, 1, 30]},
    {"bbox": [1, 2, 70, 50], "segmentation": [RING]},
    {"bbox": [3, 2, 70, 50], "segmentation": [[1, 1, 2, 2]]},
    {"bbox": [20.25, 5.5, 10.125, 8.0], "category_id": 9},
]


def _raw(changes: list[dict[str, object]]) -> dict[str, object]:
    plain = {"image_id": 1, "category_id": 7, "bbox": [4, 6, 10, 8], "area": 1, "iscrowd": 0}
    return {
        "info": {},
        "images": [{"id": 1, "file_name": "p.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 9, "name": "balloon"}, {"id": 7, "name": "kite"}],
        "annotations": [{**plain, "id": n, **each} for n, each in enumerate(changes, 1)],
    }


def _trained_on(file: Path) -> list[tuple[str, bool, list[float]]]:
    """Class, whether it is ignored, and left, top, right, bottom of what MMDetection reads."""
    dataset = CocoDataset(
        ann_file=str(file),
        metainfo={"CLASSES": CLASSES, "classes": CLASSES},
        data_prefix={"img": ""},
        lazy_init=True,
    )
    (picture,) = dataset.load_data_list()
    names = dict(enumerate(_order(file)))
    return [
        (names[each["bbox_label"]], bool(each["ignore_flag"]), list(each["bbox"]))
        for each in picture["instances"]
    ]


def _order(file: Path) -> list[str]:
    """The classes in the order of MMDetection's labels, which is that of the file's categories."""
    return [each["name"] for each in json.loads(file.read_text())["categories"]]


def _kept(folder: Path) -> Path:
    """The split of an artifact that the raw file becomes."""
    findings, labels = Findings(), Labels(CLASSES, "label", None)
    cv2.imwrite(str(folder / "p.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    records = read(folder / "raw.json", "raw.json", labels, findings)
    split = Split("train", folder, folder / "raw.json", "raw.json")
    examples = examine(split, records, findings, lambda: None)
    findings.raise_defects()
    (folder / "train.json").write_text(to_coco(examples, CLASSES))
    return folder / "train.json"


def test_what_is_kept_is_what_mmdetection_reads_of_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "raw.json").write_text(json.dumps(_raw(AS_MMDETECTION)))
    of_the_file = _trained_on(tmp_path / "raw.json")
    of_the_artifact = _trained_on(_kept(tmp_path))
    assert sorted(of_the_artifact) == sorted(of_the_file)
    assert len(of_the_file) == 7


def test_nothing_that_is_kept_is_left_out_of_training(tmp_path: Path) -> None:
    """Boxes at the edges of what MMDetection takes: a pixel, and the picture's border."""
    random = np.random.default_rng(0)
    corners = random.uniform(-5, 80, (300, 2))
    sides = random.choice([0.4, 0.9994, 0.9996, 1, 1.0004, 1.5, 9, 40], (300, 2))
    boxes = [[*corner, *side] for corner, side in zip(corners.tolist(), sides.tolist())]
    inside = [box for box in boxes if min(box[0] + box[2], box[1] + box[3]) > 1 and box[1] < 59]
    inside = [box for box in inside if box[0] < WIDTH - 1]
    (tmp_path / "raw.json").write_text(json.dumps(_raw([{"bbox": box} for box in inside])))
    file = _kept(tmp_path)
    kept = json.loads(file.read_text())["annotations"]
    trained = _trained_on(file)
    assert len(inside) > len(kept) > 100
    assert [box for _, _, box in trained] == [
        [x, y, x + width, y + height] for x, y, width, height in (each["bbox"] for each in kept)
    ]
