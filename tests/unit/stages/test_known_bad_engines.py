"""Engines that are wrong in a known way, and who rejects each.

A fault is made twice: by a compiler, so that the engine is no longer the graph it was built from,
and by an export, so that the engine is a faithful copy of a graph that is wrong itself. The first is
for the stage `engine`, which compares the two; of the second the gates have to tell.
"""

import json
import shutil
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from built_engines import engine_job, job
from fused import CLASSES, NAME, PREPROCESSING, SIDE
from onnx import numpy_helper, parser

from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES
from mmdet_jetson.contract.parameters.evaluate import DrawingParameters, EvaluateEngineParameters
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.parameters.report import ReportParameters
from mmdet_jetson.contract.records import read_record, write_record
from mmdet_jetson.contract.report import FAIL, EvaluationMetrics, Verdict
from mmdet_jetson.stages import engine, evaluate_engine, prove, report
from mmdet_jetson.stages.backends import onnxruntime
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.passport import Passport, sha256

# Two detections at fixed places, with scores that depend on the picture, and two rows to spare.
TEXT = """<ir_version: 7, opset_import: ["" : 13]>
detector (uint8[1, 64, 64, 3] picture, float[1, 4] mapping)
=> (float[1, 4, 5] dets, int32[1, 4] labels, int32[1, 3] nms)
<float[1, 2, 4] boxes = {8, 8, 24, 24, 32, 16, 48, 48}, int64[4] columns = {0, 1, 0, 1},
 float[1, 2, 5] spare = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, float[1, 2, 1] factors = {1, 1},
 float bright = {255.0}, int64[3] as_scores = {1, 2, 1}, int64[3] as_ratios = {1, 1, 4},
 int32[1, 4] label_values = {0, 1, -1, -1}, int32[1, 3] nms_values = {2, 2, 0}>
{
  [preprocessing_cast] values = Cast <to = 1> (picture)
  [preprocessing_transpose] pixels = Transpose <perm = [0, 3, 1, 2]> (values)
  [preprocessing_scale] input = Div (pixels, bright)
  [network_conv_0] maps = Conv <kernel_shape = [3, 3], strides = [2, 2]> (input, weights_0)
  [network_relu] positive = Relu (maps)
  [network_conv_1] logits = Conv <kernel_shape = [3, 3], strides = [2, 2]> (positive, weights_1)
  [network_pool] means = GlobalAveragePool (logits)
  [network_sigmoid] sure = Sigmoid (means)
  [nms_scores] last = Reshape (sure, as_scores)
  [nms_factors] scores = Mul (last, factors)
  [nms_ratios] ratios = Gather <axis = 1> (mapping, columns)
  [nms_rows] rows = Reshape (ratios, as_ratios)
  [nms_boxes] scaled = Mul (boxes, rows)
  [nms_found] found = Concat <axis = 2> (scaled, scores)
  [nms_dets] dets = Concat <axis = 1> (found, spare)
  [nms_labels] labels = Identity (label_values)
  [nms_counts] nms = Identity (nms_values)
}"""
PICTURES, SIZE = 12, (128, 96)
TOLERANCES = DEFAULT_TOLERANCES["fp32"]
Weights = dict[str, np.ndarray]


def trained(seed: int = 0) -> Weights:
    random = np.random.default_rng(seed)
    shapes = {"weights_0": (4, 3, 3, 3), "weights_1": (2, 4, 3, 3)}
    return {
        name: random.standard_normal(shape).astype(np.float32) / 4 for name, shape in shapes.items()
    }


class Wrong:
    """How to make a detector wrong: what to replace in its text, and what to do to its weights."""

    def __init__(
        self, *texts: tuple[str, str], weights: Callable[[Weights], Weights] = lambda own: own
    ) -> None:
        self.texts, self.weights = texts, weights

    def model(self) -> onnx.ModelProto:
        text = TEXT
        for old, new in self.texts:
            assert old in text
            text = text.replace(old, new)
        model = parser.parse_model(NAME.sub("", text))
        for node, name in zip(model.graph.node, NAME.findall(text), strict=True):
            node.name = name.replace("_", "/", 1)
        for name, values in self.weights(trained()).items():
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        onnx.checker.check_model(model, full_check=True)
        return model


def swap_channels(own: Weights) -> Weights:
    return {**own, "weights_0": np.ascontiguousarray(own["weights_0"][:, ::-1])}


def not_a_number(own: Weights) -> Weights:
    return {**own, "weights_1": np.full_like(own["weights_1"], np.nan)}


SPARE = "spare = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}"
BAD = {
    "invented": Wrong(
        (SPARE, "spare = {2, 50, 12, 60, 0.8, 0, 0, 0, 0, 0}"), ("{0, 1, -1, -1}", "{0, 1, 0, -1}")
    ),
    "duplicated": Wrong(("(found, spare)", "(found, found)"), ("{0, 1, -1, -1}", "{0, 1, 0, 1}")),
    "missing": Wrong(("factors = {1, 1}", "factors = {1, 0}")),
    "shifted-by-half-a-pixel": Wrong(
        ("{8, 8, 24, 24, 32, 16, 48, 48}", "{8.5, 8.5, 24.5, 24.5, 32.5, 16.5, 48.5, 48.5}")
    ),
    "shifted-far": Wrong(
        ("{8, 8, 24, 24, 32, 16, 48, 48}", "{16, 8, 32, 24, 40, 16, 56, 48}")
    ),
    "rescored": Wrong(("factors = {1, 1}", "factors = {0.9, 0.9}")),
    "classes-swapped": Wrong(("{0, 1, -1, -1}", "{1, 0, -1, -1}")),
    "channels-swapped": Wrong(weights=swap_channels),
    "another-models": Wrong(weights=lambda _: trained(seed=1)),
    "nan-weights": Wrong(weights=not_a_number),
    "blind": Wrong(("Sigmoid (means)", "Sigmoid (nothing)"), ("float bright", "float[1, 2, 1, 1] nothing = {0.4, 0.4}, float bright")),
}  # fmt: skip

# Who rejects a faithful copy of a wrong graph, and a word of the reason that the proof gives.
STAGE, PROOF, AP, AP50 = "the stage engine", "proof", "max_AP_difference", "min_AP50"
REJECTED: dict[str, tuple[Collection[str], str]] = {
    "invented": ((PROOF, AP), "12 extra"),
    "duplicated": ((PROOF, AP), "24 extra"),
    "missing": ((PROOF, AP, AP50), "12 missing"),
    "shifted-by-half-a-pixel": ((PROOF, AP), "24 beyond"),
    "shifted-far": ((PROOF, AP, AP50), "24 missing, 24 extra"),
    "rescored": ((PROOF,), "24 beyond"),
    "classes-swapped": ((PROOF, AP, AP50), "24 missing, 24 extra"),
    "channels-swapped": ((PROOF,), "networks in its graph and in the documented one differ"),
    "another-models": ((PROOF,), "networks in its graph and in the documented one differ"),
    "nan-weights": ((STAGE,), ""),
    "blind": ((PROOF,), "23 beyond"),
}


def graph(folder: Path, model: onnx.ModelProto) -> Path:
    """Write an `onnx` artifact of the fused kind."""
    folder.mkdir()
    onnx.save(model, str(folder / "end2end.onnx"))
    described = {
        "graph": "fused",
        "input": "letterboxed",
        "classes": CLASSES,
        "input_size": [SIDE, SIDE],
        "preprocessing": PREPROCESSING,
        "post_processing": {"keep": 4, "nms_pre": 4, "score_threshold": 0.001},
        "checkpoint": {"sha256": "c" * 64},
    }
    (folder / "graph.json").write_text(json.dumps(described))
    return folder


def dataset(folder: Path) -> Path:
    """Write pictures of coloured tiles; their truth is what the good detector finds."""
    (folder / "val").mkdir(parents=True)
    random = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in range(1, PICTURES + 1):
        tiles = random.integers(0, 256, (6, 8, 3), np.uint8)
        picture = cv2.resize(tiles, SIZE, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / "val" / f"{number:02}.png"), picture)
        images.append({"id": number, "file_name": f"{number:02}.png", "width": 128, "height": 96})
        for category, box in enumerate(([16, 16, 32, 32], [64, 32, 32, 64]), 1):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "val.json").write_text(json.dumps(content))
    return folder


class Run:
    """The steps behind an export, where the good detector stands for the checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset = dataset(folder / "dataset")
        self.good = graph(folder / "good", Wrong().model())
        self.checkpoint = self.evaluate(self.engine("good", self.good), "checkpoint")
        metrics = read_record(self.checkpoint / "metrics.json", EvaluationMetrics)
        write_record(self.checkpoint / "metrics.json", replace(metrics, subject="checkpoint"))

    def engine(self, name: str, exported: Path) -> Path:
        work = self.folder / f"engine-{name}"
        work.mkdir()
        made = engine_job(work, exported)
        engine.run(made)
        return made.output

    def evaluate(self, built: Path, output: str) -> Path:
        parameters = EvaluateEngineParameters(DrawingParameters(1, 0.3))
        inputs = {"engine": built, "dataset": self.dataset}
        made = job(self.folder, parameters, inputs, f"evaluation-{output}")
        evaluate_engine.run(made)
        return made.output

    def judge(self, exported: Path, built: Path) -> dict[str, tuple[str, str]]:
        """Evaluate and prove an engine; give what the gates say, and why."""
        evaluation = self.evaluate(built, "pc")
        inputs = {
            "dataset": self.dataset,
            "graph": exported,
            "documented_graph": self.good,
            "checkpoint": self.checkpoint,
            "documented": self.checkpoint,
            "engine": evaluation,
        }
        proof = job(self.folder, ProveParameters("pc", TOLERANCES), inputs, "proof")
        prove.run(proof)
        limits = {"min_AP50": 0.6, "max_AP_difference": 0.002}
        shown = {
            "dataset": self.dataset,
            "checkpoint": self.folder,  # its training left no curves
            "evaluation-checkpoint": self.checkpoint,
            "evaluation-pc": evaluation,
            "proof-pc": proof.output,
        }
        parameters = ReportParameters("bad", limits, {"pc": TOLERANCES}, ("pc",))
        made = job(self.folder, parameters, shown, "report")
        report.run(made)
        verdict = read_record(made.output / "verdict.json", Verdict)
        return {gate.name: (gate.outcome, gate.sentence) for gate in verdict.gates}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("good"))


@pytest.fixture
def run(good: Run, tmp_path: Path) -> Run:
    """Let each test write into a folder of its own; what is good is made once."""
    own = copy(good)
    own.folder = tmp_path
    return own


def test_the_good_engine_passes_every_gate(run: Run) -> None:
    found = run.judge(run.good, run.engine("pc", run.good))

    assert {outcome for outcome, _ in found.values()} == {"pass"}
    assert "24 within" in found["proof:pc"][1]


@pytest.mark.parametrize("kind", BAD)
def test_an_engine_that_is_not_its_graph_is_rejected_by_the_comparison(
    kind: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, build = run.folder / "wrong.onnx", onnxruntime.build
    onnx.save(BAD[kind].model(), str(wrong))
    monkeypatch.setattr(onnxruntime, "build", lambda each: build(replace(each, onnx=wrong)))

    with pytest.raises(StageError, match="the engine's detections differ by"):
        run.engine("pc", run.good)


@pytest.mark.parametrize("kind", BAD)
def test_a_faithful_copy_of_a_wrong_graph_is_rejected_by_the_gates(kind: str, run: Run) -> None:
    exported = graph(run.folder / "wrong", BAD[kind].model())
    rejecting, reason = REJECTED[kind]
    if rejecting == (STAGE,):
        with pytest.raises(StageError, match="differ by inf"):
            run.engine("pc", exported)
        return

    found = run.judge(exported, run.engine("pc", exported))

    failed = {name.partition(":")[0] for name, (outcome, _) in found.items() if outcome == FAIL}
    assert failed == set(rejecting)
    assert reason in found["proof:pc"][1]


def test_every_kind_of_fault_stands_in_the_table() -> None:
    assert set(REJECTED) == set(BAD)


def test_an_engine_that_detects_nothing_is_no_evidence(run: Run) -> None:
    """As with weights that are no numbers where the device that built it cannot run it."""
    exported = graph(run.folder / "wrong", BAD["nan-weights"].model())
    built = run.engine("pc", run.good)
    shutil.copyfile(exported / "end2end.onnx", built / "engine.onnx")
    adopt(built)

    found = run.judge(run.good, built)

    assert found["proof:pc"][0] == found["max_AP_difference:pc"][0] == FAIL
    assert "24 missing" in found["proof:pc"][1]
    assert "contains no detections" in found["max_AP_difference:pc"][1]


def test_the_file_of_another_engine_is_rejected_by_the_passport(run: Run) -> None:
    built = run.engine("pc", run.good)
    onnx.save(BAD["another-models"].model(), str(built / "engine.onnx"))

    with pytest.raises(StageError, match="not the file that its passport describes"):
        run.evaluate(built, "pc")


def adopt(built: Path) -> None:
    """Let a passport name the files as they are."""
    passport = read_record(built / "passport.json", Passport)
    own = replace(passport.engine, sha256=sha256(built / passport.engine.file))
    write_record(built / "passport.json", replace(passport, engine=own))
