import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
from built_engines import DETS, engine_job, fixed_network, onnx_folder
from fused import fused_folder, split_folder
from onnx import helper, numpy_helper

from mmdet_jetson.contract.backends import BackendTraits
from mmdet_jetson.contract.parameters.engine import (
    BuilderSettings,
    EngineParameters,
    SessionSettings,
)
from mmdet_jetson.stages import engine
from mmdet_jetson.stages.backends import onnxruntime
from mmdet_jetson.stages.building.request import BuildRequest, Built
from mmdet_jetson.stages.engine import check_difference, run
from mmdet_jetson.stages.engines.asking import copy_descriptions, request_for
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference import device
from mmdet_jetson.stages.inference.passport import Compared
from mmdet_jetson.stages.job import StageJob

NMS = helper.make_node("TRTBatchedNMS", ["fixed_dets"], ["boxes"], domain="mmdeploy")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return onnx_folder(tmp_path / "onnx")


def test_the_passport_names_what_the_engine_is_and_was_built_from(
    tmp_path: Path, exported: Path
) -> None:
    job = engine_job(tmp_path, exported)

    result = run(job)

    folder = job.output
    passport = json.loads((folder / "passport.json").read_text())
    engine = folder / passport["engine"]["file"]
    digest = hashlib.sha256((exported / "end2end.onnx").read_bytes()).hexdigest()
    assert engine.name == "engine.onnx"
    assert passport["engine"]["sha256"] == hashlib.sha256(engine.read_bytes()).hexdigest()
    assert passport["engine"]["bytes"] == engine.stat().st_size
    assert passport["onnx"]["sha256"] == digest
    assert (passport["target"], passport["backend"], passport["precision"]) == (
        "pc",
        "onnxruntime",
        "fp32",
    )
    assert passport["versions"]["onnxruntime"]
    assert set(passport["platform"]) == {"machine", "system", "cpu"}
    assert result.metrics["max_difference"] == 0
    for name in ("deploy", "pipeline", "detail", "graph"):
        copy = folder / f"{name}.json"
        assert copy.read_bytes() == (exported / copy.name).read_bytes()


def test_another_device_is_refused_before_anything_is_built(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "build", lambda _: pytest.fail("it was built"))
    monkeypatch.setattr(device, "l4t_release", lambda: "35.4.1")
    job = engine_job(tmp_path, exported)
    needing = replace(job, parameters=replace(job.parameters, needs={"jetpack": "5.0.1"}))
    with pytest.raises(
        StageError, match=r"needs JetPack 5\.0\.1, and this device has JetPack 5\.1"
    ):
        run(needing)


def test_what_a_device_does_not_tell_is_said(tmp_path: Path, exported: Path) -> None:
    job = engine_job(tmp_path, exported)
    needing = replace(job, parameters=replace(job.parameters, needs={"tensorrt": "8.4"}))
    assert "needs TensorRT 8.4: this device does not say" in run(needing).warnings[0]


def test_how_it_is_run_stands_in_its_passport_where_it_is_not_as_usual(
    tmp_path: Path, exported: Path
) -> None:
    job = engine_job(tmp_path, exported)
    session = SessionSettings(cuda_graph=True)

    run(replace(job, parameters=replace(job.parameters, session=session)))

    settings = json.loads((job.output / "passport.json").read_text())["settings"]
    assert settings["cuda_graph"] is True
    assert "mapped_memory" not in settings


def test_the_same_graph_gives_the_same_engine(tmp_path: Path, exported: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run(engine_job(tmp_path / name, exported))

    a, b = (tmp_path / name / "engine" / "engine.onnx" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("has_earlier", [True, False])
@pytest.mark.parametrize("reuses", ["timing.cache", ""])
def test_the_builder_is_given_what_it_reuses_from_the_work_folder(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch, reuses: str, has_earlier: bool
) -> None:
    backends = {"onnxruntime": BackendTraits(("fp32",), reuses=reuses)}
    monkeypatch.setattr("mmdet_jetson.stages.engines.asking.BACKENDS", backends)
    job = engine_job(tmp_path, exported)
    job.work.mkdir()
    if has_earlier:
        (job.work / "timing.cache").write_bytes(b"timings")
    copy_descriptions(job, exported, job.output)

    request = request_for(job, exported, job.output, None)

    assert request.reused == (job.work / reuses if reuses and has_earlier else None)


def test_the_builder_gets_its_settings_and_its_doubts_are_warnings(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = engine_job(tmp_path, exported)
    settings = BuilderSettings(workspace=99, largest_picture=777)
    job = replace(job, parameters=replace(job.parameters, builder=settings))
    build = onnxruntime.build

    def doubting(request: BuildRequest) -> Built:
        assert request.settings == settings
        return replace(build(request), doubts=("nobody has seen its layers",))

    monkeypatch.setattr(onnxruntime, "build", doubting)

    assert "nobody has seen its layers" in run(job).warnings


def test_it_is_compared_on_a_picture_that_it_takes(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT refuses a larger one than the engine was built for."""
    job = engine_job(tmp_path, exported)
    job = replace(job, parameters=replace(job.parameters, builder=BuilderSettings(64, 96)))
    asked: list[int] = []

    def compared(*arguments: object) -> Compared:
        *_, largest = arguments
        asked.append(cast("int", largest))
        return Compared()

    monkeypatch.setattr(engine, "compare_with", compared)

    run(job)

    assert asked == [96]


def corrupt(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:200])


def empty(model: Path) -> None:
    model.write_bytes(b"")


def missing(model: Path) -> None:
    model.unlink()


def made_for_tensorrt(model: Path) -> None:
    fixed_network(model, extra=[NMS])


def from_the_future(model: Path) -> None:
    content = onnx.load(str(model))
    content.opset_import[0].version = 99
    model.write_bytes(content.SerializeToString())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (corrupt, "is not a valid ONNX file"),
        (empty, "is not a valid ONNX file"),
        (missing, "there is no end2end.onnx"),
        (made_for_tensorrt, "this graph holds TRTBatchedNMS, made for TensorRT"),
        (from_the_future, "end2end.onnx"),
    ],
)
def test_a_graph_that_cannot_run_is_one_sentence(
    tmp_path: Path, exported: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(exported / "end2end.onnx")

    with pytest.raises(StageError, match=message) as caught:
        run(engine_job(tmp_path, exported))

    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("backend", "precision", "message"),
    [
        ("tensorflow", "fp32", "no backend called 'tensorflow'"),
        ("onnxruntime", "fp16", "'onnxruntime' does not build engines in fp16"),
        ("onnxruntime", "bf16", "'onnxruntime' does not build engines in bf16"),
    ],
)
def test_what_the_backend_cannot_build_is_one_sentence(
    tmp_path: Path, exported: Path, backend: str, precision: str, message: str
) -> None:
    with pytest.raises(StageError, match=message):
        run(engine_job(tmp_path, exported, precision, backend))


@pytest.mark.parametrize(
    ("difference", "precision"),
    [(2e-3, "fp32"), *((d, p) for d in (inf, nan) for p in ("fp32", "fp16", "bf16", "int8"))],
)
def test_an_engine_that_detects_something_else_is_refused(
    difference: float, precision: str
) -> None:
    with pytest.raises(StageError, match="detections differ by"):
        check_difference(Compared(difference, 0.0), precision)


@pytest.mark.parametrize(
    ("precision", "alone"), [("fp16", 0.11), ("bf16", 0.11), ("int8", 0.26), ("int8", 1.0)]
)
def test_a_lower_precision_may_not_cost_most_detections(precision: str, alone: float) -> None:
    with pytest.raises(StageError, match=f"% of the detections of the {precision} engine") as error:
        check_difference(Compared(0.3, alone), precision)
    assert "fp32" in error.value.hint


@pytest.mark.parametrize(("precision", "alone"), [("fp16", 0.03), ("bf16", 0.03), ("int8", 0.15)])
def test_what_a_lower_precision_was_measured_to_cost_is_allowed(
    precision: str, alone: float
) -> None:
    check_difference(Compared(0.25, alone), precision)


def test_an_engine_may_differ_by_rounding() -> None:
    check_difference(Compared(1e-5, 0.0), "fp32")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_could_not_be_compared_is_not_refused(precision: str) -> None:
    check_difference(Compared(), precision)


def test_a_graph_that_finds_nothing_builds(tmp_path: Path) -> None:
    job = engine_job(tmp_path, onnx_folder(tmp_path / "onnx", dets=DETS[:0], labels=[]))

    result = run(job)

    assert result.metrics["max_difference"] is None
    assert "find nothing in noise" in result.warnings[0]


Int8Job = Callable[..., StageJob[EngineParameters]]


@pytest.fixture
def int8_job(tmp_path: Path) -> Int8Job:
    """Int8Job a job on 8 training pictures; ``validation`` are the seeds of the others."""

    def prepare(
        validation: Sequence[int] = (100, 101), pictures: int = 64
    ) -> StageJob[EngineParameters]:
        return engine_job(
            tmp_path,
            fused_folder(tmp_path / "fused"),
            "int8",
            calibration_pictures=pictures,
            training=split_folder(tmp_path / "training", "train", list(range(8))),
            validation=split_folder(tmp_path / "validation", "val", list(validation)),
        )

    return prepare


def test_int8_is_calibrated_with_training_pictures_and_says_with_which(int8_job: Int8Job) -> None:
    made = int8_job(pictures=4)

    result = run(made)

    folder = made.output
    passport = json.loads((folder / "passport.json").read_text())
    operators = [node.op_type for node in onnx.load(str(folder / "engine.onnx")).graph.node]
    assert (operators.count("QLinearConv"), operators.count("Conv")) == (1, 1)  # not the last
    assert passport["precision"] == "int8"
    assert (passport["calibration"]["split"], passport["calibration"]["pictures"]) == ("train", 4)
    difference = result.metrics["max_difference"]
    assert isinstance(difference, float)
    assert 0 < difference < 0.1


def test_calibrating_leaves_the_log_as_it_was(
    int8_job: Int8Job, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    run(int8_job(pictures=1))

    assert logging.getLogger().level == logging.INFO


def test_faint_detections_say_nothing_about_a_lower_precision(
    int8_job: Int8Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmdet_jetson.stages.engine.compare", lambda *_: Compared(0.01, None))

    assert "were not compared" in run(int8_job()).warnings[-1]


def test_int8_refuses_a_calibration_picture_of_the_validation_split(int8_job: Int8Job) -> None:
    with pytest.raises(StageError, match="shows the same as val_01"):
        run(int8_job(validation=(3,)))


def test_int8_of_a_documented_graph_is_one_sentence(tmp_path: Path, exported: Path) -> None:
    made = engine_job(
        tmp_path,
        exported,
        "int8",
        calibration_pictures=1,
        training=split_folder(tmp_path / "training", "train", [1]),
        validation=split_folder(tmp_path / "validation", "val", [2]),
    )

    with pytest.raises(StageError, match="does not tell its network") as caught:
        run(made)

    assert 'graph = "fused"' in caught.value.hint


def test_an_engine_that_cannot_run_here_was_not_compared(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "can_run", lambda request: False)
    job = engine_job(tmp_path, exported)

    result = run(job)

    passport = json.loads((job.output / "passport.json").read_text())
    assert passport["compared"] == {"max_difference": None, "alone": None}
    assert result.metrics["max_difference"] is None
    assert "cannot run here" in result.warnings[0]


def infinite(model: Path) -> None:
    content = onnx.load(str(model))
    weights = content.graph.initializer[-1]
    values = numpy_helper.to_array(weights) * np.float32(np.inf)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(content, str(model))


@pytest.mark.filterwarnings("ignore:All-NaN axis")
def test_int8_of_infinite_values_is_one_sentence(int8_job: Int8Job) -> None:
    made = int8_job()
    infinite(made.inputs["onnx"] / "end2end.onnx")

    with pytest.raises(StageError, match="cannot be put into 8 bits"):
        run(made)
