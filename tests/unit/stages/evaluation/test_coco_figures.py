import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.evaluation.coco_figures import FIGURES, coco_figures

Box = list[float]
BOX: Box = [10, 10, 50, 50]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """One picture with one balloon."""
    return write_truth(tmp_path, [BOX])


def write_truth(folder: Path, boxes: Sequence[Box]) -> Path:
    """One picture of 200 x 200 pixels with balloons, of the classes balloon and kite."""
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 200}],
        "categories": [{"id": 1, "name": "balloon"}, {"id": 2, "name": "kite"}],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for number, box in enumerate(boxes, start=1)
        ],
    }
    path = folder / "val.json"
    path.write_text(json.dumps(content))
    return path


def prediction(box: Box, score: float = 0.9, category: int = 1) -> Prediction:
    return {"image_id": 1, "category_id": category, "bbox": box, "score": score}


def test_perfect_predictions_reach_1_and_sizes_without_objects_are_unknown(truth: Path) -> None:
    result = coco_figures(truth, [prediction(BOX)])

    assert tuple(result.figures) == FIGURES
    assert result.figures["AP"] == pytest.approx(1)
    assert result.figures["AR_1"] == pytest.approx(1)
    assert result.figures["AP_medium"] == pytest.approx(1)
    assert result.figures["AP_small"] is None
    assert result.per_class == {"balloon": pytest.approx(1), "kite": None}


def test_a_shifted_box_counts_up_to_its_overlap(truth: Path) -> None:
    # 50x50 boxes 10 pixels apart: IoU = 40 / 60 = 0.667, so 4 of the 10 thresholds accept it.
    result = coco_figures(truth, [prediction([20, 10, 50, 50])])

    assert result.figures["AP50"] == pytest.approx(1)
    assert result.figures["AP75"] == pytest.approx(0)
    assert result.figures["AP"] == pytest.approx(0.4)


def test_a_wrong_class_does_not_count(truth: Path) -> None:
    assert coco_figures(truth, [prediction(BOX, category=2)]).figures["AP"] == 0


def test_nothing_found_is_zero_and_not_an_error(truth: Path) -> None:
    result = coco_figures(truth, [])

    assert result.figures["AP"] == 0
    assert result.figures["AP_large"] is None
    assert result.per_class == {"balloon": 0, "kite": None}


@pytest.mark.parametrize("predictions", [[], [prediction(BOX)]])
def test_nothing_to_find_is_unknown(tmp_path: Path, predictions: list[Prediction]) -> None:
    result = coco_figures(write_truth(tmp_path, []), predictions)

    assert set(result.figures.values()) == {None}
    assert result.per_class == {"balloon": None, "kite": None}


def test_it_is_quiet_and_leaves_the_predictions_alone(
    truth: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    predictions = [prediction(BOX)]

    coco_figures(truth, predictions)

    assert capfd.readouterr() == ("", "")
    assert predictions == [prediction(BOX)]
