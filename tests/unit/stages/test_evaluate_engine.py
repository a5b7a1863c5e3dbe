import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from built_engines import dataset_folder, engine_folder, job, onnx_folder

from mmdet_jetson.contract.matches import MATCHES
from mmdet_jetson.contract.parameters.evaluate import DrawingParameters, EvaluateEngineParameters
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.contract.report import EvaluationMetrics
from mmdet_jetson.promotion.accuracy import (
    average_precision,
    precision_of_classes,
    read_matches,
)
from mmdet_jetson.stages.annotations.coco_file import read_predictions
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.evaluate_engine import run
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.job import StageJob

PARAMETERS = EvaluateEngineParameters(DrawingParameters(pictures=2, draw_threshold=0.3))
Evaluation = StageJob[EvaluateEngineParameters]
Content = dict[str, list[dict[str, object]]]


def evaluation(tmp_path: Path, pictures: int = 3) -> Evaluation:
    inputs = {
        "engine": engine_folder(tmp_path),
        "dataset": dataset_folder(tmp_path / "dataset", pictures),
    }
    return job(tmp_path, PARAMETERS, inputs, "evaluation", "emulated")


def test_an_engine_that_finds_the_truth_has_ap_1(tmp_path: Path) -> None:
    made = evaluation(tmp_path)

    result = run(made)

    folder = made.output
    metrics = read_record(folder / "metrics.json", EvaluationMetrics)
    assert result.metrics == metrics.figures
    assert metrics.figures["AP"] == pytest.approx(1)
    assert metrics.per_class == {"balloon": pytest.approx(1), "kite": pytest.approx(1)}
    assert (metrics.subject, metrics.pictures, metrics.detections) == ("engine", 3, 6)
    assert metrics.evidence == "emulated"
    assert metrics.preprocessing["keep_ratio"] is True
    assert metrics.preprocessing["input_size"] == [64, 64]


def test_what_was_matched_gives_the_figures_again(tmp_path: Path) -> None:
    made = evaluation(tmp_path)

    run(made)

    metrics = read_record(made.output / "metrics.json", EvaluationMetrics)
    found = read_matches((made.output / MATCHES).read_bytes())
    assert average_precision(found) == pytest.approx(metrics.figures["AP"], abs=1e-12)
    assert precision_of_classes(found) == pytest.approx(metrics.per_class, abs=1e-12)
    assert (len(found.pictures), len(found.score)) == (metrics.pictures, metrics.detections)
    assert found.pictures == ("1.png", "2.png", "3.png")


def test_a_graph_that_is_no_engine_yet_is_run_by_onnx_runtime(tmp_path: Path) -> None:
    inputs = {
        "onnx": onnx_folder(tmp_path / "onnx"),
        "dataset": dataset_folder(tmp_path / "dataset"),
    }
    made = job(tmp_path, PARAMETERS, inputs, "evaluation", "measured")

    result = run(made)

    metrics = read_record(made.output / "metrics.json", EvaluationMetrics)
    assert metrics.subject == "documented"
    assert metrics.figures["AP"] == pytest.approx(1)
    assert "onnxruntime" in result.facts
    assert (made.output / "output_onnxruntime.jpg").is_file()


def test_predictions_are_in_the_pictures_pixels(tmp_path: Path) -> None:
    made = evaluation(tmp_path)

    run(made)

    first = read_predictions(made.output / "predictions.json")[0]
    assert first == {"image_id": 1, "category_id": 1, "bbox": [64, 32, 32, 64], "score": 0.9}


def test_the_first_pictures_by_name_are_drawn(tmp_path: Path) -> None:
    made = evaluation(tmp_path)

    run(made)

    folder = made.output
    drawn = sorted(path.name for path in (folder / "pictures").iterdir())
    assert drawn == ["1.png.jpg", "2.png.jpg"]
    assert (folder / "output_onnxruntime.jpg").read_bytes() == (
        folder / "pictures" / "1.png.jpg"
    ).read_bytes()
    picture = cv2.imread(str(folder / "pictures" / "1.png.jpg"))
    assert picture is not None
    assert picture.shape[1] == 128


def test_progress_ends_with_the_last_picture(tmp_path: Path) -> None:
    made = evaluation(tmp_path, pictures=11)

    run(made)
    made.channel.flush()

    lines = map(json.loads, Path(made.channel.name).read_text().splitlines())
    assert [line["step"] for line in lines] == [10, 11]


def edit(made: Evaluation, change: Callable[[Content], object]) -> None:
    path = made.inputs["dataset"] / "val.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_other_classes_than_the_engine_s_are_refused(tmp_path: Path) -> None:
    made = evaluation(tmp_path)
    edit(made, lambda content: content["categories"].reverse())
    edit(made, lambda content: content["categories"][0].update(name="plane"))

    with pytest.raises(
        StageError, match="detects balloon, kite, but the dataset has balloon, plane"
    ):
        run(made)


def test_a_split_without_pictures_is_refused(tmp_path: Path) -> None:
    made = evaluation(tmp_path)
    edit(made, lambda content: content["images"].clear())

    with pytest.raises(StageError, match="no pictures"):
        run(made)


def test_pictures_on_which_nms_may_have_missed_something_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_network = Detector.outputs

    def outputs(self: Detector, picture: np.ndarray) -> tuple[np.ndarray, ...]:
        return (*run_network(self, picture), picture)

    def is_dark(_: Detector, outputs: tuple[np.ndarray, ...]) -> bool:
        return bool(outputs[-1].mean() < 30)

    # Of the three pictures, whose values are 20, 40 and 60, NMS settles on the first.
    monkeypatch.setattr(Detector, "outputs", outputs)
    monkeypatch.setattr(Detector, "is_complete", is_dark)

    (warning,) = run(evaluation(tmp_path)).warnings

    assert warning.startswith("on 2 of 3 pictures, such as 2.png, the graph's NMS had more boxes")


def test_no_warning_where_nms_is_complete_on_every_picture(tmp_path: Path) -> None:
    assert run(evaluation(tmp_path)).warnings == ()
