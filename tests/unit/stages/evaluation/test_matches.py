"""What is written of every detection gives COCO's figures again, without pycocotools."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmdet_jetson.contract.matches import IOU_THRESHOLDS, MATCHES
from mmdet_jetson.promotion.accuracy import (
    Matches,
    average_precision,
    average_precision_at,
    precision_of_classes,
    read_matches,
)
from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.evaluation.coco_figures import Figures, coco_figures
from mmdet_jetson.stages.evaluation.matches import write_matches

LABELS = (3, 1, 7)  # COCO's identifiers need no order


def problem(folder: Path, seed: int, pictures: int = 15) -> tuple[Path, list[Prediction]]:
    """Good, doubled and wrong detections of small and large objects, crowds, and empty pictures.

    Scores are coarse, so that many are equal. Identifiers run against the names of the pictures.
    """
    rng = np.random.default_rng(seed)
    images = [
        {"id": each, "file_name": f"{pictures - each:03}.jpg", "width": 300, "height": 300}
        for each in range(1, pictures + 1)
    ]
    objects: list[dict[str, object]] = []
    predictions: list[Prediction] = []
    for image in range(1, pictures + 1):
        for _ in range(int(rng.integers(0, 8))):
            box = [
                *rng.uniform(0, 150, 2).round(1).tolist(),
                *rng.uniform(8, 150, 2).round(1).tolist(),
            ]
            label = int(rng.choice([3, 3, 1]))
            area, crowd = box[2] * box[3], int(rng.uniform() < 0.15)
            known = {"image_id": image, "category_id": label, "bbox": box, "area": area}
            objects.append({**known, "id": len(objects) + 1, "iscrowd": crowd})
            for _ in range(int(rng.integers(0, 4))):
                found = (np.array(box) + rng.normal(0, 6, 4)).clip(1).round(1).tolist()
                guessed = int(rng.choice([label, label, label, 7]))
                predictions.append(
                    {
                        "image_id": image,
                        "category_id": guessed,
                        "bbox": found,
                        "score": round(float(rng.uniform()), 1),
                    }
                )
    categories = [{"id": each, "name": f"class {each}"} for each in LABELS]
    path = folder / "val.json"
    path.write_text(
        json.dumps({"images": images, "annotations": objects, "categories": categories})
    )
    return path, predictions


def written(folder: Path, figures: Figures) -> Matches:
    write_matches(folder, figures.matches)
    return read_matches((folder / MATCHES).read_bytes())


@pytest.mark.parametrize("seed", range(12))
def test_figures_come_out_again(tmp_path: Path, seed: int) -> None:
    figures = coco_figures(*problem(tmp_path, seed))
    found = written(tmp_path, figures)
    assert 0.05 < (figures.figures["AP"] or 0) < 0.95
    assert average_precision(found) == pytest.approx(figures.figures["AP"], abs=1e-12)
    for name, iou in (("AP50", 0.5), ("AP75", 0.75)):
        expected = pytest.approx(figures.figures[name], abs=1e-12)
        assert average_precision_at(found, iou) == expected
    per_class = precision_of_classes(found)
    assert per_class["class 7"] is None
    assert per_class == {
        name: value if value is None else pytest.approx(value, abs=1e-12)
        for name, value in figures.per_class.items()
    }


def test_a_hundred_detections_of_a_picture_count(tmp_path: Path) -> None:
    """COCO's rule: the 100 best of a picture and class."""
    path, _ = problem(tmp_path, 0)
    crowd = [
        Prediction(
            image_id=1, category_id=3, bbox=[float(i), float(i), 9, 9], score=round(i / 200, 3)
        )
        for i in range(130)
    ]
    found = written(tmp_path, coco_figures(path, crowd))
    assert len(found.score) == 100
    assert found.score.min() == np.float32(0.15)


def test_pictures_are_sorted_and_hold_their_objects(tmp_path: Path) -> None:
    path, predictions = problem(tmp_path, 3)
    found = written(tmp_path, coco_figures(path, predictions))
    content = json.loads(path.read_text())
    names = {each["id"]: each["file_name"] for each in content["images"]}
    assert found.pictures == tuple(sorted(names.values()))
    assert found.classes == ("class 1", "class 3", "class 7")
    for row, name in enumerate(found.pictures):
        for label, identifier in enumerate(sorted(LABELS)):
            expected = [
                each
                for each in content["annotations"]
                if names[each["image_id"]] == name
                and each["category_id"] == identifier
                and not each["iscrowd"]
            ]
            assert found.objects[row, label] == len(expected)
            detected = [
                each
                for each in predictions
                if names[each["image_id"]] == name and each["category_id"] == identifier
            ]
            mine = (found.picture == row) & (found.label == label)
            assert np.count_nonzero(mine) == len(detected)


def test_a_box_off_by_a_known_overlap_matches_up_to_that(tmp_path: Path) -> None:
    """IoU 40 / 60: the thresholds up to 0.65 accept it. The first object is a crowd."""
    truth = [
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 1, "id": 1},
        {
            "image_id": 1,
            "category_id": 1,
            "bbox": [100, 10, 50, 50],
            "area": 2500,
            "iscrowd": 0,
            "id": 2,
        },
    ]
    images = [{"id": 1, "file_name": "a.jpg", "width": 300, "height": 300}]
    path = tmp_path / "val.json"
    content = {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "mug"}]}
    path.write_text(json.dumps(content))
    boxes = ((0.9, [110.0, 10, 50, 50]), (0.8, [0.0, 0, 9, 9]), (0.7, [200.0, 200, 9, 9]))
    predictions = [Prediction(image_id=1, category_id=1, bbox=b, score=s) for s, b in boxes]
    found = written(tmp_path, coco_figures(path, predictions))
    up_to = sum(1 << i for i, iou in enumerate(IOU_THRESHOLDS) if iou < 2 / 3)
    assert found.matched[0] == up_to
    assert found.ignored.tolist() == [0, 2 ** len(IOU_THRESHOLDS) - 1, 0]
    assert found.objects.tolist() == [[1]]


def test_nothing_found_can_be_read(tmp_path: Path) -> None:
    path, _ = problem(tmp_path, 1)
    found = written(tmp_path, coco_figures(path, []))
    assert average_precision(found) == 0
    assert found.objects.sum() > 0


def test_the_same_matches_are_the_same_bytes(tmp_path: Path) -> None:
    figures = coco_figures(*problem(tmp_path, 2))
    written(tmp_path, figures)
    before = (tmp_path / MATCHES).read_bytes()
    written(tmp_path, figures)
    assert (tmp_path / MATCHES).read_bytes() == before
