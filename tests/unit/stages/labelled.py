"""Small labelled folders: pictures of noise, VIA and COCO files, and a job over them."""

import io
import json

import cv2
import numpy as np

from mmdet_jetson.stages.job import StageJob

WIDTH, HEIGHT = 40, 30


def noise(path, seed, size=(WIDTH, HEIGHT)):
    """Write a picture of noise, which no other seed repeats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    ok, data = cv2.imencode(path.suffix, pixels)
    assert ok
    path.write_bytes(data.tobytes())
    return pixels


def rect(x=4, y=6, width=10, height=8):
    return {"name": "rect", "x": x, "y": y, "width": width, "height": height}


def polygon(*points):
    xs, ys = zip(*points, strict=True)
    return {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}


def region(shape=None, **attributes):
    return {"shape_attributes": shape or rect(), "region_attributes": attributes}


def entry(name, *regions):
    return {"filename": name, "size": 1, "regions": list(regions), "file_attributes": {}}


def via(*entries):
    return {f"{item['filename']}{item['size']}": item for item in entries}


def coco(**changes):
    """A COCO file with one picture a.png and one box; ``changes`` replace whole sections."""
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 6, 10, 8]}],
        "categories": [{"id": 7, "name": "balloon"}],
    }
    return {**content, **changes}


def source(folder):
    """A source folder with one labelled picture a split, each train/a.png or val/b.png."""
    for seed, (split, name) in enumerate((("train", "a.png"), ("val", "b.png"))):
        noise(folder / split / name, seed)
        save(folder / split / "via.json", via(entry(name, region())))
    return folder


def save(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def job(folder, source, **changes):
    """A job of the dataset stage over such a source folder."""
    parameters = {
        "format": "via",
        "classes": ["balloon", "kite"],
        "default_class": "balloon",
        "label_attribute": "label",
        "train": {"pictures": "train", "annotations": "train/via.json"},
        "val": {"pictures": "val", "annotations": "val/via.json"},
        "drawn": None,
        **changes,
    }
    for name in ("out", "work"):
        (folder / name).mkdir(parents=True)
    return StageJob(
        stage="dataset",
        parameters=parameters,
        inputs={"source": source} if source else {},
        outputs={"dataset": folder / "out"},
        work=folder / "work",
        channel=io.StringIO(),
    )
