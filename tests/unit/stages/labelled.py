"""Small labelled folders: pictures of noise, VIA and COCO files, and a job over them."""

import io
import json
from pathlib import Path

import cv2
import numpy as np

from mmdet_jetson.contract.parameters.dataset import DatasetParameters, SplitLocation
from mmdet_jetson.stages.job import StageJob

WIDTH, HEIGHT = 40, 30
Json = dict[str, object]

PARAMETERS = DatasetParameters(
    format="via",
    classes=("balloon", "kite"),
    default_class="balloon",
    label_attribute="label",
    train=SplitLocation("train", "train/via.json"),
    val=SplitLocation("val", "val/via.json"),
    drawn=None,
)


def noise(path: Path, seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """Write a picture of noise, which no other seed repeats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    ok, data = cv2.imencode(path.suffix, pixels)
    assert ok
    path.write_bytes(data.tobytes())


def rect(x: object = 4, y: object = 6, width: object = 10, height: object = 8) -> Json:
    return {"name": "rect", "x": x, "y": y, "width": width, "height": height}


def polygon(*points: tuple[object, object]) -> Json:
    xs, ys = zip(*points, strict=True)
    return {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}


def region(shape: Json | None = None, **attributes: object) -> Json:
    return {"shape_attributes": shape or rect(), "region_attributes": attributes}


def entry(name: str, *regions: object) -> Json:
    return {"filename": name, "size": 1, "regions": list(regions), "file_attributes": {}}


def via(*entries: Json) -> Json:
    return {f"{item['filename']}{item['size']}": item for item in entries}


def coco(**changes: object) -> Json:
    """A COCO file with one picture a.png and one box; ``changes`` replace whole sections."""
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 6, 10, 8]}],
        "categories": [{"id": 7, "name": "balloon"}],
        **changes,
    }


def source(folder: Path) -> Path:
    """A source folder with one labelled picture a split, each train/a.png or val/b.png."""
    for seed, (split, name) in enumerate((("train", "a.png"), ("val", "b.png"))):
        noise(folder / split / name, seed)
        save(folder / split / "via.json", via(entry(name, region())))
    return folder


def save(path: Path, content: object) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def job(
    folder: Path, source: Path | None, parameters: DatasetParameters = PARAMETERS
) -> StageJob[DatasetParameters]:
    """A job of the dataset stage over such a source folder."""
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True)
    return StageJob(
        parameters=parameters,
        inputs={"source": source} if source else {},
        output=folder / "output",
        work=folder / "work",
        channel=io.StringIO(),
    )
