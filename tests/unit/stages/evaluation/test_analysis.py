"""`analysis.json` as a whole: what is written, read back, drawn and warned of."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_splits import Found, Object, drawn_split, predictions_of, split_of, write_split

from mmdet_jetson.contract.analysis import ANALYSIS, WORST, Analysis, Thresholds
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.stages.annotations.coco_file import CocoFile, Prediction
from mmdet_jetson.stages.evaluation import worst_pictures
from mmdet_jetson.stages.evaluation.analysis import Wish, unmet, write_analysis
from mmdet_jetson.stages.evaluation.evaluation import Validation
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

LETTERBOX = Preprocessing((320, 320), True, (0, 0, 0), (0, 0, 0), (1, 1, 1), to_rgb=False)
BOX = (100.0, 100.0, 100.0, 100.0)
ONE: Object = (1, 1, BOX)
BEST_F1 = Wish(None, otherwise=0.3)


def analysed(
    folder: Path, content: CocoFile, predictions: list[Prediction], wish: Wish = BEST_F1
) -> Analysis:
    """Write an analysis of grey pictures, and read it again."""
    write_split(folder, content)
    for image in content["images"]:
        path = folder / "val" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.full((image["height"], image["width"], 3), 128, np.uint8)
        path.write_bytes(cv2.imencode(".jpg", grey)[1].tobytes())
    made = write_analysis(folder, Validation.read(folder), predictions, LETTERBOX, wish)
    read = read_record(folder / ANALYSIS, Analysis)
    assert read == made
    return read


def by_hand(
    folder: Path, objects: list[Object], found: list[Found], wish: Wish = BEST_F1
) -> Analysis:
    return analysed(folder, split_of(objects), predictions_of(found), wish)


def test_the_same_detections_give_the_same_bytes(tmp_path: Path) -> None:
    content, predictions = drawn_split(1)
    both = [tmp_path / "one", tmp_path / "two"]
    for folder in both:
        analysed(folder, content, predictions)
    one, two = ({path.name: path.read_bytes() for path in each.rglob("*.j*")} for each in both)
    assert one == two


def test_the_threshold_to_deploy_is_the_wished_one(tmp_path: Path) -> None:
    objects: list[Object] = [ONE, (1, 1, (400, 300, 50, 50))]
    found: list[Found] = [(1, 1, BOX, 0.9), (1, 2, BOX, 0.8), (1, 1, (400, 300, 50, 50), 0.7)]
    analysis = by_hand(tmp_path, objects, found, Wish(0.9, otherwise=0.3))
    assert analysis.deploy == analysis.together.wished
    assert analysis.deploy is not None
    assert analysis.threshold == analysis.deploy.threshold == 0.85
    assert analysis.together.best_f1 is not None
    assert analysis.together.best_f1.recall == 1
    assert analysis.reason.startswith("a precision of 0.9 or more with the highest recall over 1")
    assert unmet(analysis) == []


def test_where_no_threshold_is_so_precise_it_is_the_best_f1_and_a_warning(tmp_path: Path) -> None:
    found: list[Found] = [(1, 1, (400, 300, 50, 50), 0.9), (1, 1, BOX, 0.5)]
    analysis = by_hand(tmp_path, [ONE], found, Wish(0.9, otherwise=0.3))
    assert analysis.deploy == analysis.together.best_f1
    (warning,) = unmet(analysis)
    assert "no threshold has a precision of 0.9" in warning
    assert "0.2, has the best F1, with a precision of 0.500 and a recall of 1.000" in warning
    assert "where no threshold has a precision of 0.9" in analysis.reason


@pytest.mark.parametrize(
    ("objects", "found"),
    [([ONE], []), ([], [(1, 1, BOX, 0.9)]), ([], []), ([ONE], [(1, 2, BOX, 0.9)])],
    ids=["nothing-detected", "nothing-to-detect", "neither", "nothing-right"],
)
def test_where_nothing_is_right_pictures_are_at_the_score_that_is_drawn(
    objects: list[Object], found: list[Found], tmp_path: Path
) -> None:
    analysis = by_hand(tmp_path, objects, found, Wish(0.9, otherwise=0.3))
    assert analysis.deploy is None
    assert analysis.threshold == 0.3
    assert unmet(analysis) == []
    assert Thresholds.of(analysis) is None
    (picture,) = analysis.pictures
    assert picture.objects == len(objects)
    assert (analysis.errors is None) == (not objects)


def test_every_class_has_a_curve_and_its_own_threshold_where_there_is_one(tmp_path: Path) -> None:
    analysis = by_hand(tmp_path, [ONE], [(1, 1, BOX, 0.8), (1, 2, BOX, 0.4)])
    assert set(analysis.per_class) == {"class 1", "class 2"}
    assert set(analysis.precision_recall) == {"class 1"}
    thresholds = Thresholds.of(analysis, "sha256:1")
    assert thresholds is not None
    assert set(thresholds.per_class) == {"class 1"}
    assert thresholds.reason == "the best F1 over 1 validation picture"


def test_the_worst_pictures_are_drawn_by_kind(tmp_path: Path) -> None:
    objects: list[Object] = [(1, 1, BOX), (2, 1, BOX), (2, 1, (300, 100, 80, 80)), (3, 1, BOX)]
    found: list[Found] = [
        (1, 1, BOX, 0.9),
        (1, 1, (400, 300, 50, 50), 0.95),
        (3, 2, BOX, 0.9),
        (4, 1, (400, 300, 50, 50), 0.94),
        (4, 1, (200, 300, 50, 50), 0.93),
    ]
    analysis = analysed(tmp_path, split_of(objects, pictures=4), predictions_of(found))
    assert [(each.kind, each.name) for each in analysis.worst] == [
        ("false alarms", "d.jpg"),
        ("false alarms", "a.jpg"),
        ("misses", "b.jpg"),
        ("wrong class", "c.jpg"),
    ]
    drawn = {path.name for path in (tmp_path / WORST).iterdir()}
    assert drawn == {each.file for each in analysis.worst}
    picture = cv2.imread(str(tmp_path / WORST / "b.jpg"))
    assert picture is not None
    assert picture.shape[1] == 640  # not more pixels than it has
    assert [each.false_alarms for each in analysis.worst] == [
        {"background": 2}, {"background": 1}, {}, {},
    ]  # fmt: skip
    blue, green, red = picture.astype(int).transpose(2, 0, 1)
    assert np.sum((blue < 100) & (green > 180) & (red > 200)) > 100  # yellow: missed


def test_drawings_keep_to_their_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worst_pictures, "MOST_BYTES", 80_000)
    content, predictions = drawn_split(1)
    analysis = analysed(tmp_path, content, predictions)
    assert sum(path.stat().st_size for path in (tmp_path / WORST).iterdir()) < 130_000
    assert {each.kind for each in analysis.worst} == {"false alarms", "misses", "wrong class"}


def test_no_drawing_leaves_its_folder(tmp_path: Path) -> None:
    content = split_of([ONE])
    content["images"][0]["file_name"] = "a folder/é%.png"
    analysis = analysed(tmp_path, content, [])
    (worst,) = analysis.worst
    assert "/" not in worst.file
    assert (tmp_path / WORST / worst.file).is_file()


def test_a_detection_without_a_number_is_never_written(tmp_path: Path) -> None:
    """Detectors drop scores that are no number; a box that is none overlaps nothing."""
    found: list[Found] = [(1, 1, (float("nan"),) * 4, 0.9), (1, 1, BOX, 0.8)]
    by_hand(tmp_path, [ONE], found)
    json.loads((tmp_path / ANALYSIS).read_text(), parse_constant=pytest.fail)
