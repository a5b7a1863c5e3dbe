"""How sure a set of pictures makes us of AP50."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmdet_jetson.stages.annotations.coco_file import CocoImage, Prediction
from mmdet_jetson.stages.evaluation.coco_figures import coco_figures
from mmdet_jetson.stages.gates.measured import Interval
from mmdet_jetson.stages.reporting.intervals import RESAMPLES, ap50_interval, draw_pictures


def annotations(folder: Path, pictures: int) -> Path:
    """One square object a picture, of two classes in turn."""
    path = folder / "val.json"
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in range(pictures)
        ],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i,
                "category_id": 1 + i % 2,
                "bbox": [10, 10, 40, 40],
                "area": 1600,
                "iscrowd": 0,
            }
            for i in range(pictures)
        ],
        "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "jug"}],
    }
    path.write_text(json.dumps(content))
    return path


def found(pictures: int, every: int = 1) -> list[Prediction]:
    return [
        {"image_id": i, "category_id": 1 + i % 2, "bbox": [10, 10, 40, 40], "score": 0.9}
        for i in range(0, pictures, every)
    ]


def interval_of(path: Path, predictions: list[Prediction]) -> Interval:
    interval = ap50_interval(path, predictions)
    assert interval is not None
    return interval


def test_interval_of_perfect_predictions_has_no_width(tmp_path: Path) -> None:
    interval = interval_of(annotations(tmp_path, 20), found(20))
    assert interval.point == pytest.approx(1)
    assert interval.low == pytest.approx(1)


def test_interval_surrounds_the_point_and_narrows_with_more_pictures(tmp_path: Path) -> None:
    def third_missing(pictures: int) -> list[Prediction]:
        return [p for p in found(pictures) if p["image_id"] % 3]

    few = interval_of(annotations(tmp_path, 18), third_missing(18))
    many = interval_of(annotations(tmp_path, 288), third_missing(288))
    assert few.low < few.point < few.high
    # Width falls with the root of the number of pictures: 16 times as many, a quarter as wide.
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(0.25, rel=0.35)


def test_interval_is_reproducible_and_leaves_predictions_alone(tmp_path: Path) -> None:
    path, predictions = annotations(tmp_path, 30), found(30, every=3)
    before = json.dumps(predictions)
    assert interval_of(path, predictions) == interval_of(path, predictions)
    assert json.dumps(predictions) == before


def detected(image: int, label: int, box: list[float], score: float) -> Prediction:
    return {"image_id": image, "category_id": label, "bbox": box, "score": score}


def crowded(folder: Path, copies: Sequence[int]) -> tuple[Path, list[Prediction]]:
    """Pictures with good, bad, doubled and crowd detections; ``copies[i]`` of picture i."""
    rng = np.random.default_rng(3)
    images: list[CocoImage] = []
    objects: list[object] = []
    predictions: list[Prediction] = []
    for number, copy in enumerate(copies):
        boxes = rng.uniform(5, 60, size=(6, 4)).round(1).tolist()
        labels = rng.integers(1, 4, size=6).tolist()
        scores = rng.uniform(size=6).tolist()
        for _ in range(copy):
            image = len(images)
            images.append({"id": image, "file_name": f"{image}.jpg", "width": 99, "height": 99})
            for i, (box, label, score) in enumerate(zip(boxes, labels, scores, strict=True)):
                if i < 5:
                    known = {"image_id": image, "category_id": label, "bbox": box, "area": 400}
                    crowd = int(i == 3 and number % 2)
                    objects.append({**known, "id": len(objects) + 1, "iscrowd": crowd})
                if i > 0:
                    predictions += [detected(image, label, box, score / n) for n in (1, 2)]
    categories = [{"id": i, "name": f"class {i}"} for i in (1, 2, 3, 4)]
    path = folder / "crowded.json"
    path.write_text(
        json.dumps({"images": images, "annotations": objects, "categories": categories})
    )
    return path, predictions


def test_interval_point_is_the_coco_figure(tmp_path: Path) -> None:
    path, predictions = crowded(tmp_path, [1] * 20)
    expected = coco_figures(path, predictions).figures["AP50"]
    assert expected is not None
    assert 0.1 < expected < 0.9
    assert interval_of(path, predictions).point == pytest.approx(expected, abs=1e-12)


def test_a_picture_drawn_twice_counts_as_two_pictures(tmp_path: Path) -> None:
    draw = [0, 0, 0, 1, 4, 4, 6, 7, 8, 9, 9, 11]
    counts = [draw.count(i) for i in range(12)]
    expected = coco_figures(*crowded(tmp_path, counts)).figures["AP50"]
    path, predictions = crowded(tmp_path, [1] * 12)
    interval = ap50_interval(path, predictions, lambda pictures: np.array([draw]))
    assert interval is not None
    assert interval.low == pytest.approx(expected, abs=1e-12)
    assert interval.low != pytest.approx(interval.point, abs=1e-3)


def test_no_interval_of_too_little(tmp_path: Path) -> None:
    assert ap50_interval(annotations(tmp_path, 9), found(9)) is None
    assert ap50_interval(annotations(tmp_path, 20), []) is None


def test_pictures_are_drawn_evenly_and_always_the_same() -> None:
    drawn = draw_pictures(20)
    assert drawn.shape == (RESAMPLES, 20)
    assert np.array_equal(drawn, draw_pictures(20))
    counts = np.bincount(drawn.ravel(), minlength=20)
    assert counts.sum() == counts[:20].sum()
    assert counts.min() > RESAMPLES / 2
