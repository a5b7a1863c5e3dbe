"""Engines that are wrong in a known way, and who rejects each.

A fault is made twice: by a compiler, so that the engine is no longer the graph it was built from,
and by an export, so that the engine is a faithful copy of a graph that is wrong itself. The first is
for the stage `engine`, which compares the two; of the second the gates have to tell.
"""

import json
import shutil
from collections.abc import Collection
from copy import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from bad_detectors import BAD, Wrong, graph
from built_engines import engine_job, job
from fused import CLASSES, split_folder

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

PICTURES, SIZE = 12, (128, 96)
TOLERANCES = DEFAULT_TOLERANCES["fp32"]
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

# What 8 bits may cost as well: as the engine of another graph it is for the gates to tell.
LEFT_TO_THE_GATES = ("shifted-by-half-a-pixel", "rescored", "channels-swapped")


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

    def engine(self, name: str, exported: Path, precision: str = "fp32") -> Path:
        work = self.folder / f"engine-{name}"
        work.mkdir()
        made = engine_job(work, exported)
        if precision != "fp32":
            training = split_folder(work / "training", "train", list(range(4)))
            inputs = {**made.inputs, "training": training, "validation": self.dataset}
            asked = replace(made.parameters, precision=precision, calibration_pictures=4)
            made = replace(made, parameters=asked, inputs=inputs)
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
    assert "24 agree" in found["proof:pc"][1]


@pytest.mark.parametrize("kind", BAD)
def test_an_engine_that_is_not_its_graph_is_rejected_by_the_comparison(
    kind: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, build = run.folder / "wrong.onnx", onnxruntime.build
    onnx.save(BAD[kind].model(), str(wrong))
    monkeypatch.setattr(onnxruntime, "build", lambda each: build(replace(each, onnx=wrong)))

    with pytest.raises(StageError, match="the engine's detections differ by"):
        run.engine("pc", run.good)


@pytest.mark.parametrize("kind", [None, *BAD])
def test_a_lower_precision_that_is_another_detector_is_rejected_by_the_comparison(
    kind: str | None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, build = run.folder / "wrong.onnx", onnxruntime.build
    onnx.save((BAD[kind] if kind else Wrong()).model(), str(wrong))
    monkeypatch.setattr(onnxruntime, "build", lambda each: build(replace(each, onnx=wrong)))

    if kind is None or kind in LEFT_TO_THE_GATES:
        run.engine("pc", run.good, "int8")
        return
    reason = r"\d+% of the detections of the int8 engine"
    if kind == "nan-weights":
        reason = "cannot be put into 8 bits"  # calibration notices first
    with pytest.raises(StageError, match=reason):
        run.engine("pc", run.good, "int8")


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
