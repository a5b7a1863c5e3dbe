import hashlib
import json

import onnx
import pytest
from engines import DETS, engine_job, fixed_network, onnx_folder
from onnx import helper

from mmdet_jetson.stages.engine import check_difference, run
from mmdet_jetson.stages.job import StageError

NMS = helper.make_node("TRTBatchedNMS", ["fixed_dets"], ["boxes"], domain="mmdeploy")


@pytest.fixture
def exported(tmp_path):
    return onnx_folder(tmp_path / "onnx")


def test_the_passport_names_what_the_engine_is_and_was_built_from(tmp_path, exported):
    job = engine_job(tmp_path, exported)

    result = run(job)

    folder = job.outputs["engine"]
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


def test_the_same_graph_gives_the_same_engine(tmp_path, exported):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run(engine_job(tmp_path / name, exported))

    a, b = (tmp_path / name / "engine" / "engine.onnx" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


def corrupt(model):
    model.write_bytes(model.read_bytes()[:200])


def empty(model):
    model.write_bytes(b"")


def missing(model):
    model.unlink()


def made_for_tensorrt(model):
    fixed_network(model, extra=[NMS])


def from_the_future(model):
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
def test_a_graph_that_cannot_run_is_one_sentence(tmp_path, exported, damage, message):
    damage(exported / "end2end.onnx")

    with pytest.raises(StageError, match=message) as caught:
        run(engine_job(tmp_path, exported))

    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backend": "tensorflow"}, "no backend called 'tensorflow'"),
        ({"precision": "fp16"}, "computes fp16 on a CPU by way of fp32"),
    ],
)
def test_what_the_backend_cannot_build_is_one_sentence(tmp_path, exported, parameters, message):
    with pytest.raises(StageError, match=message):
        run(engine_job(tmp_path, exported, **parameters))


@pytest.mark.parametrize("difference", [2e-3, float("inf"), float("nan")])
def test_an_engine_that_detects_something_else_is_refused(difference):
    with pytest.raises(StageError, match="detections differ"):
        check_difference(difference, "fp32")


def test_an_engine_may_differ_by_rounding():
    check_difference(1e-5, "fp32")


def test_a_graph_that_finds_nothing_builds(tmp_path):
    job = engine_job(tmp_path, onnx_folder(tmp_path / "onnx", dets=DETS[:0], labels=[]))

    assert run(job).metrics["max_difference"] == 0
