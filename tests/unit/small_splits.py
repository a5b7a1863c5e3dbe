"""Validation splits and detections for tests of evaluations: drawn by a seed, or by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from mmdet_jetson.stages.annotations.coco_file import CocoFile, Prediction
from mmdet_jetson.stages.evaluation.overlaps import Overlaps, overlaps_of

Box = tuple[float, float, float, float]
Object = tuple[int, int, Box]
"""Picture, class (both from 1 on) and x, y, width, height; a crowd where the class is negative."""
Found = tuple[int, int, Box, float]
"""Picture, class, box and score."""


def split_of(objects: Sequence[Object], pictures: int = 1, classes: int = 2) -> CocoFile:
    """The content of a ``val.json``: pictures of 640 x 480 named a.jpg, b.jpg, ..."""
    return {
        "info": {},
        "images": [
            {"id": each + 1, "file_name": f"{chr(97 + each)}.jpg", "width": 640, "height": 480}
            for each in range(pictures)
        ],
        "categories": [{"id": each + 1, "name": f"class {each + 1}"} for each in range(classes)],
        "annotations": [
            {
                "id": number,
                "image_id": picture,
                "category_id": abs(label),
                "bbox": list(box),
                "area": box[2] * box[3],
                "segmentation": [],
                "iscrowd": int(label < 0),
            }
            for number, (picture, label, box) in enumerate(objects, start=1)
        ],
    }


def predictions_of(found: Sequence[Found]) -> list[Prediction]:
    """Detections in COCO's results format."""
    return [
        {"image_id": picture, "category_id": label, "bbox": list(box), "score": score}
        for picture, label, box, score in found
    ]


def write_split(folder: Path, content: CocoFile) -> Path:
    """Write ``val.json``."""
    folder.mkdir(exist_ok=True)
    path = folder / "val.json"
    path.write_text(json.dumps(content))
    return path


def overlaps_by_hand(
    folder: Path,
    objects: Sequence[Object],
    found: Sequence[Found],
    pictures: int = 1,
    classes: int = 2,
) -> Overlaps:
    """A split and detections, compared."""
    path = write_split(folder, split_of(objects, pictures, classes))
    return overlaps_of(path, predictions_of(found))


def drawn_split(
    seed: int,
    *,
    pictures: int = 20,
    classes: int = 3,
    most_objects: int = 6,
    most_found: int = 15,
    decimals: int = 6,
) -> tuple[CocoFile, list[Prediction]]:
    """Objects, some of them crowds, and detections near them and elsewhere.

    Nothing but ``Random.random`` is drawn from, which is the same in every Python.
    """
    random = Random(seed)

    def up_to(most: float) -> float:
        return random.random() * most

    objects: list[Object] = []
    found: list[Found] = []
    for picture in range(1, pictures + 1):
        mine: list[Object] = []
        for _ in range(int(up_to(most_objects + 1))):
            side = 4 * 64 ** random.random()
            box = (up_to(600), up_to(440), side, side * (0.5 + random.random()))
            label = 1 + int(up_to(classes))
            mine.append((picture, -label if random.random() < 0.1 else label, _rounded(box)))
        objects += mine
        for _ in range(int(up_to(most_found + 1))):
            label, score = 1 + int(up_to(classes)), random.random()
            box = (up_to(600), up_to(440), 4 + up_to(200), 4 + up_to(200))
            if mine and random.random() < 0.8:
                _, real, (x, y, width, height) = mine[int(up_to(len(mine)))]
                label = abs(real) if random.random() < 0.8 else label
                spread = 1.4 * random.random()
                shift = [(random.random() - 0.5) * spread for _ in range(4)]
                box = (
                    x + shift[0] * width,
                    y + shift[1] * height,
                    width * (1.1 + shift[2]),
                    height * (1.1 + shift[3]),
                )
                score = score**0.5
            found.append((picture, label, _rounded(box), round(score, decimals)))
    return split_of(objects, pictures, classes), predictions_of(found)


def _rounded(box: Box) -> Box:
    x, y, width, height = (round(each, 3) for each in box)
    return x, y, width, height
