import io
import json
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.job import Progress, Result, parse_progress
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.records import read_record, write_record
from mmdet_jetson.contract.report import EvaluationMetrics
from mmdet_jetson.stages.annotations.coco_file import Prediction
from mmdet_jetson.stages.inference.graph import Folded, Graph
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.prove import run
from mmdet_jetson.stages.proving.deviation import Deviation
from mmdet_jetson.stages.proving.proof import NetworkComparison, Proof

Change = Callable[[list[Prediction]], object]

TOLERANCES = Tolerances(from_score=0.01, box=0.01, score=0.2, alone=0.0)
STD = (2.0, 3.0, 5.0)
NETWORK = """<ir_version: 7, opset_import: ["" : 13]>
network (float[1, 3, 8, 8] input) => (float[1, 2, 8, 8] dets)
{
  one = Conv (input, w)
  dets = Sigmoid (one)
}"""


def unchanged(predictions: list[Prediction]) -> None:
    """Leave what a model detects as it is."""


def detections() -> list[Prediction]:
    """Two on each of three pictures, in no order."""
    return [
        {"image_id": image, "category_id": category, "bbox": [x, 16, 32, 32], "score": score}
        for image in (2, 1, 3)
        for category, x, score in ((1, 64, 0.9), (2, 16, 0.5))
    ]


def evaluation(folder: Path, subject: str, ap: float, change: Change, pictures: int = 3) -> Path:
    folder.mkdir()
    predictions = detections()
    change(predictions)
    metrics = EvaluationMetrics(
        subject=subject,
        evidence="emulated" if subject == "engine" else "measured",
        preprocessing={},
        figures={"AP": ap},
        per_class={},
        pictures=pictures,
        detections=len(predictions),
    )
    write_record(folder / "metrics.json", metrics)
    (folder / "predictions.json").write_text(json.dumps(predictions))
    return folder


def graph(
    folder: Path, weights: np.ndarray, takes: str | None = None, folded: Folded | None = None
) -> Path:
    folder.mkdir()
    model = parser.parse_model(NETWORK)
    model.graph.initializer.append(numpy_helper.from_array(weights.astype(np.float32), "w"))
    onnx.save(model, str(folder / "end2end.onnx"))
    nothing = (0.0, 0.0, 0.0)
    preprocessing = Preprocessing((8, 8), False, nothing, nothing, STD, to_rgb=False)
    described = Graph(
        graph="fused" if takes else "documented",
        classes=("balloon",),
        input_size=(8, 8),
        input=takes,
        preprocessing=preprocessing if takes else None,
        folded=folded,
    )
    write_record(folder / "graph.json", described)
    return folder


def dataset(folder: Path) -> Path:
    folder.mkdir()
    images = [
        {"id": number, "file_name": f"{number}.png", "width": 128, "height": 96}
        for number in (1, 2, 3)
    ]
    (folder / "val.json").write_text(json.dumps({"images": images}))
    return folder


class Proving:
    """A job over evaluations and graphs that agree, unless they are changed."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.channel = io.StringIO()
        self.weights = np.arange(1, 7).reshape(2, 3, 1, 1)

    def __call__(
        self,
        pytorch: Change = unchanged,
        documented: Change = unchanged,
        engine: Change = unchanged,
        graph_folder: Path | None = None,
        *,
        absent: Collection[str] = (),
        covered: int = 3,
    ) -> tuple[Proof, Result]:
        output = self.folder / "proof"
        output.mkdir()
        made = graph_folder or graph(self.folder / "fused", self.weights, "tensor")
        inputs = {
            "dataset": dataset(self.folder / "dataset"),
            "graph": made,
            "documented_graph": graph(self.folder / "documented_graph", self.weights),
            "checkpoint": evaluation(self.folder / "pytorch", "checkpoint", 0.75, pytorch, covered),
            "documented": evaluation(self.folder / "mm", "documented", 0.5, documented),
            "engine": evaluation(self.folder / "engine", "engine", 0.25, engine, covered),
        }
        job = StageJob(
            parameters=ProveParameters("pc", TOLERANCES),
            inputs={name: path for name, path in inputs.items() if name not in absent},
            output=output,
            work=self.folder / "work",
            channel=self.channel,
        )
        result = run(job)
        return read_record(output / "proof.json", Proof), result


@pytest.fixture
def proving(tmp_path: Path) -> Proving:
    return Proving(tmp_path)


def deviation(proof: Proof, model: str) -> Deviation:
    total = proof.models[model].deviation
    assert total is not None
    return total


def test_models_that_detect_the_same_deviate_by_nothing(proving: Proving) -> None:
    proof, result = proving()

    assert [name for name, _ in proof.in_order()] == ["pytorch", "documented graph", "engine"]
    for name in ("documented graph", "engine"):
        assert deviation(proof, name) == Deviation(matched=6)
        assert proof.models[name].by_picture == {
            "1.png": Deviation(matched=2),
            "2.png": Deviation(matched=2),
            "3.png": Deviation(matched=2),
        }
    assert proof.models["pytorch"].deviation is None
    assert proof.network == NetworkComparison(nodes=1, differences=())
    assert (proof.target, proof.pictures, proof.evidence) == ("pc", 3, "emulated")
    assert result.metrics == {"pytorch": 0.75, "documented graph": 0.5, "engine": 0.25}
    assert result.warnings == ()


def test_a_proof_covers_what_its_evaluations_do(proving: Proving) -> None:
    """Two that leave out the same picture agree on it."""
    proof, _ = proving(covered=2)

    assert proof.pictures == 2


def test_each_model_has_the_figures_that_its_evaluation_found(proving: Proving) -> None:
    proof, _ = proving()

    figures = {name: model.figures["AP"] for name, model in proof.models.items()}
    assert figures == {"pytorch": 0.75, "documented graph": 0.5, "engine": 0.25}


def test_a_shifted_and_a_rescored_detection_are_told_and_where_they_are(proving: Proving) -> None:
    def move(predictions: list[Prediction]) -> None:
        shifted = next(p for p in predictions if p["image_id"] == 2)
        shifted["bbox"][0] += 0.5
        rescored = next(p for p in predictions if p["image_id"] == 3)
        rescored["score"] -= 0.125

    proof, _ = proving(engine=move)

    assert deviation(proof, "engine") == Deviation(matched=6, box=0.5 / 128, score=0.125)
    by_picture = proof.models["engine"].by_picture
    assert by_picture["1.png"] == Deviation(matched=2)
    assert by_picture["2.png"] == Deviation(matched=2, box=0.5 / 128)
    assert by_picture["3.png"] == Deviation(matched=2, score=0.125)
    assert deviation(proof, "documented graph") == Deviation(matched=6)


def add(predictions: list[Prediction]) -> None:
    predictions.append({**predictions[0], "bbox": [1, 1, 9, 9]})


def test_a_detection_that_only_pytorch_has_is_missing(proving: Proving) -> None:
    proof, _ = proving(pytorch=add)

    assert deviation(proof, "engine") == Deviation(matched=6, missing=1)
    assert deviation(proof, "documented graph") == Deviation(matched=6, missing=1)


def test_a_detection_that_only_the_engine_has_is_extra(proving: Proving) -> None:
    proof, _ = proving(engine=add)

    assert deviation(proof, "engine") == Deviation(matched=6, extra=1)
    assert deviation(proof, "documented graph") == Deviation(matched=6)


def test_a_model_that_detects_nothing_misses_everything(proving: Proving) -> None:
    proof, _ = proving(documented=list.clear)

    assert deviation(proof, "documented graph") == Deviation(missing=6)
    assert proof.models["documented graph"].by_picture["2.png"] == Deviation(missing=2)
    assert deviation(proof, "engine") == Deviation(matched=6)


def test_other_weights_are_named(proving: Proving, tmp_path: Path) -> None:
    proof, _ = proving(graph_folder=graph(tmp_path / "f", 1.5 * proving.weights, "tensor"))

    assert proof.network is not None
    (difference,) = proof.network.differences
    assert "the weights w are not w" in difference


def test_what_graph_json_says_was_folded_is_taken_out_again(
    proving: Proving, tmp_path: Path
) -> None:
    folded = np.ascontiguousarray((proving.weights / np.array(STD).reshape(1, 3, 1, 1))[:, ::-1])
    folder = graph(tmp_path / "f", folded, "image", Folded(STD, flipped=True))

    proof, _ = proving(graph_folder=folder)

    assert proof.network == NetworkComparison(nodes=1, differences=())


def test_a_graph_that_takes_pictures_may_have_nothing_folded(
    proving: Proving, tmp_path: Path
) -> None:
    proof, _ = proving(graph_folder=graph(tmp_path / "f", proving.weights, "image"))

    assert proof.network == NetworkComparison(nodes=1, differences=())


def test_what_moved_further_than_is_tolerated_is_counted(proving: Proving) -> None:
    def move(predictions: list[Prediction]) -> None:
        predictions[0]["bbox"][1] += 2
        predictions[1]["score"] += 0.25

    proof, _ = proving(engine=move)

    assert proof.tolerances == TOLERANCES
    assert deviation(proof, "engine") == Deviation(matched=4, off=2, box=2 / 128, score=0.25)


def test_a_graph_is_not_asked_for_more_than_it_keeps(proving: Proving, tmp_path: Path) -> None:
    """PyTorch's YOLOX keeps all that it detects."""
    folder = graph(tmp_path / "f", proving.weights, "tensor")
    described = json.loads((folder / "graph.json").read_text())
    described["post_processing"] = {"keep": 2, "nms_pre": 5, "score_threshold": 0.001}
    (folder / "graph.json").write_text(json.dumps(described))

    def add_faint(predictions: list[Prediction]) -> None:
        predictions += [{**predictions[0], "bbox": [1, 1, 9, 9], "score": 0.3}] * 4

    proof, _ = proving(pytorch=add_faint, graph_folder=folder)

    assert deviation(proof, "engine") == Deviation(matched=6)
    assert deviation(proof, "documented graph") == Deviation(matched=6, missing=4)


def test_a_detector_without_a_documented_graph_is_compared_with_pytorch_alone(
    proving: Proving,
) -> None:
    proof, result = proving(absent=("documented", "documented_graph"))

    assert proof.network is None
    assert deviation(proof, "engine") == Deviation(matched=6)
    assert set(proof.models) == set(result.metrics) == {"pytorch", "engine"}


def test_progress_names_what_is_compared(proving: Proving) -> None:
    proving()

    lines = proving.channel.getvalue().splitlines()
    assert [parse_progress(line) for line in lines] == [
        Progress(0, 2, "comparing the documented graph"),
        Progress(1, 2, "comparing the engine"),
        Progress(2, 2, "compared"),
    ]
