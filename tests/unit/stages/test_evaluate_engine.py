import json
from pathlib import Path

import cv2
import pytest
from built_engines import dataset_folder, engine_folder, job

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluate_engine import run
from mmdet_jetson.stages.inference.detector import Detector

PARAMETERS = {"target": "pc", "pictures": 2, "draw_threshold": 0.3, "evidence": "emulated"}


@pytest.fixture
def evaluation(tmp_path):
    def prepare(**dataset):
        inputs = {
            "engine": engine_folder(tmp_path),
            "dataset": dataset_folder(tmp_path / "dataset", **dataset),
        }
        return job(tmp_path, "evaluate_engine", PARAMETERS, inputs, "evaluation")

    return prepare


def test_an_engine_that_finds_the_truth_has_ap_1(evaluation):
    made = evaluation()

    result = run(made)

    folder = made.output
    metrics = json.loads((folder / "metrics.json").read_text())
    assert result.metrics == metrics["figures"]
    assert metrics["figures"]["AP"] == pytest.approx(1)
    assert metrics["per_class"] == {"balloon": pytest.approx(1), "kite": pytest.approx(1)}
    assert (metrics["subject"], metrics["pictures"], metrics["detections"]) == ("engine", 3, 6)
    assert metrics["evidence"] == "emulated"
    assert metrics["preprocessing"]["keep_ratio"] is True
    assert metrics["preprocessing"]["input_size"] == [64, 64]


def test_predictions_are_in_the_pictures_pixels(evaluation):
    made = evaluation()

    run(made)

    first = json.loads((made.output / "predictions.json").read_text())[0]
    assert first == {"image_id": 1, "category_id": 1, "bbox": [64, 32, 32, 64], "score": 0.9}


def test_the_first_pictures_by_name_are_drawn(evaluation):
    made = evaluation()

    run(made)

    folder = made.output
    drawn = sorted(path.name for path in (folder / "pictures").iterdir())
    assert drawn == ["1.png.jpg", "2.png.jpg"]
    assert (folder / "output_onnxruntime.jpg").read_bytes() == (
        folder / "pictures" / "1.png.jpg"
    ).read_bytes()
    assert cv2.imread(str(folder / "pictures" / "1.png.jpg")).shape[1] == 128


def test_progress_ends_with_the_last_picture(evaluation):
    made = evaluation(pictures=11)

    run(made)
    made.channel.flush()

    lines = map(json.loads, Path(made.channel.name).read_text().splitlines())
    assert [line["step"] for line in lines] == [10, 11]


def edit(made, change):
    path = made.inputs["dataset"] / "val.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_other_classes_than_the_engine_s_are_refused(evaluation):
    made = evaluation()
    edit(made, lambda content: content["categories"].reverse())
    edit(made, lambda content: content["categories"][0].update(name="plane"))

    with pytest.raises(
        StageError, match="detects balloon, kite, but the dataset has balloon, plane"
    ):
        run(made)


def test_a_split_without_pictures_is_refused(evaluation):
    made = evaluation()
    edit(made, lambda content: content["images"].clear())

    with pytest.raises(StageError, match="no pictures"):
        run(made)


def test_pictures_on_which_nms_may_have_missed_something_are_counted(evaluation, monkeypatch):
    answers = iter([True, False, False])
    monkeypatch.setattr(Detector, "is_complete", lambda _, outputs: next(answers))

    (warning,) = run(evaluation()).warnings

    assert warning.startswith("on 2 of 3 pictures, such as 2.png, the graph's NMS had more boxes")
