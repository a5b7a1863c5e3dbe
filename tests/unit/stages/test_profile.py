import gc
import json
from dataclasses import replace

import numpy as np
import pytest
from built_engines import dataset_folder, engine_folder, job

from mmdet_jetson.stages import profile as stage
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.profile import STEPS, doubts, no_garbage_collection, run, summarize

PARAMETERS = {"target": "pc", "repeats": 200, "warmup": 3, "evidence": "measured"}


@pytest.fixture
def profile_job(tmp_path):
    def prepare(**parameters):
        inputs = {
            "engine": engine_folder(tmp_path),
            "dataset": dataset_folder(tmp_path / "dataset"),
        }
        return job(tmp_path, "profile", {**PARAMETERS, **parameters}, inputs, "profile")

    return prepare


def test_every_step_is_timed_and_the_machine_is_named(profile_job):
    made = profile_job()

    result = run(made)

    profile = json.loads((made.output / "profile.json").read_text())
    assert tuple(profile["steps"]) == STEPS
    for spread in [*profile["steps"].values(), profile["total"]]:
        assert 0 < spread["p50"] <= spread["p90"] <= spread["p99"]
    assert (profile["repeats"], profile["warmup"], profile["pictures"]) == (200, 3, 3)
    assert (profile["unit"], profile["evidence"]) == ("ms", "measured")
    assert profile["machine"]["cores"] >= 1
    assert {"cpu", "memory_gb", "system", "python", "onnxruntime", "opencv", "load_average"} < set(
        profile["machine"]
    )
    assert result.metrics == profile["total"]
    assert "gpu" not in profile


class OnGpu:
    """A network whose n-th call takes n milliseconds on the GPU."""

    def __init__(self, network):
        self.network, self.milliseconds = network, 0

    def __call__(self, *inputs):
        self.milliseconds += 1
        return self.network(*inputs)


def test_the_time_on_the_gpu_is_beside_the_steps(profile_job, monkeypatch):
    def load(folder):
        detector = Detector.load(folder)
        return replace(detector, network=OnGpu(detector.network))

    monkeypatch.setattr(stage, "Detector", type("OnAGpu", (), {"load": staticmethod(load)}))
    made = profile_job()

    run(made)

    profile = json.loads((made.output / "profile.json").read_text())
    assert tuple(profile["steps"]) == STEPS
    # 200 calls follow 3 to warm up.
    expected = {"mean": 103.5, "p50": 103.5, "p90": 183.1, "p99": 201.01}
    assert profile["gpu"] == pytest.approx(expected)


def test_too_few_repeats_are_refused(profile_job):
    with pytest.raises(StageError, match="199 repeats say nothing"):
        run(profile_job(repeats=199))


def test_percentiles_and_the_total_of_each_repeat():
    # Repeat i takes i ms for every step, so the totals are six times that.
    nanoseconds = np.tile(np.arange(1, 202)[:, None] * 1_000_000, len(STEPS))

    summary = summarize(nanoseconds)

    assert summary["steps"]["load"] == {"mean": 101, "p50": 101, "p90": 181, "p99": 199}
    assert summary["total"] == {"mean": 606, "p50": 606, "p90": 1086, "p99": 1194}


@pytest.mark.parametrize(
    ("p99", "others", "words"),
    [
        (110, 0.02, []),
        (110, None, []),
        (110, 0.4, ["other processes took 40%"]),
        (250, 0.0, ["2.5 times as long"]),
    ],
)
def test_numbers_from_a_busy_machine_come_with_a_warning(p99, others, words):
    summary = {"total": {"p50": 100, "p99": p99}}

    warnings = doubts(summary, others)

    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


def test_the_garbage_collector_waits_and_comes_back():
    with no_garbage_collection():
        assert not gc.isenabled()

    assert gc.isenabled()
