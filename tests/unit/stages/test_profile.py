import gc
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_engines import dataset_folder, engine_folder, job
from jetson_power import write_clocks, write_mode

from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.report import PROFILE_STEPS, Spread
from mmdet_jetson.stages import profile as stage
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.network import Arrays, Network
from mmdet_jetson.stages.inference.power import power_state
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.profile import doubts, no_garbage_collection, run, spread

ProfileJob = Callable[..., StageJob[ProfileParameters]]


@pytest.fixture
def profile_job(tmp_path: Path) -> ProfileJob:
    def prepare(repeats: int = 200) -> StageJob[ProfileParameters]:
        inputs = {
            "engine": engine_folder(tmp_path),
            "dataset": dataset_folder(tmp_path / "dataset"),
        }
        parameters = ProfileParameters(repeats, warmup=3)
        return job(tmp_path, parameters, inputs, "profile", evidence="measured")

    return prepare


def test_every_step_is_timed_and_the_machine_is_named(profile_job: ProfileJob) -> None:
    made = profile_job()

    result = run(made)

    profile = json.loads((made.output / "profile.json").read_text())
    assert set(profile["steps"]) == set(PROFILE_STEPS)
    for times in [*profile["steps"].values(), profile["total"]]:
        assert 0 < times["p50"] <= times["p90"] <= times["p99"]
    assert (profile["repeats"], profile["warmup"], profile["pictures"]) == (200, 3, 3)
    assert (profile["unit"], profile["evidence"]) == ("ms", "measured")
    assert profile["machine"]["cores"] >= 1
    assert {"cpu", "memory_gb", "system", "python", "onnxruntime", "opencv", "load_average"} < set(
        profile["machine"]
    )
    assert result.metrics == profile["total"]
    assert profile["gpu"] is None


def test_a_profile_tells_the_power_state_and_doubts_a_weak_one(
    profile_job: ProfileJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mode(tmp_path / "jetson", 2)
    write_clocks(tmp_path / "jetson", locked=False)
    monkeypatch.setattr(stage, "power_state", lambda: power_state(tmp_path / "jetson"))
    made = profile_job()

    result = run(made)

    profile = json.loads((made.output / "profile.json").read_text())
    assert profile["machine"]["power_mode"] == "MODE_30W (2)"
    assert profile["machine"]["clocks_locked"] is False
    assert profile["warnings"] == list(result.warnings)
    mode, clocks = result.warnings[-2:]
    assert "sudo nvpmodel -m 0, sudo jetson_clocks" in mode
    assert clocks.startswith("the clocks were not locked")


def test_the_mode_that_a_target_wants_is_no_doubt(
    profile_job: ProfileJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mode(tmp_path / "jetson", 2)
    write_clocks(tmp_path / "jetson", locked=True)
    monkeypatch.setattr(stage, "power_state", lambda: power_state(tmp_path / "jetson"))
    made = profile_job()

    result = run(replace(made, parameters=replace(made.parameters, power_mode="MODE_30W")))

    assert [each for each in result.warnings if "power mode" in each] == []


class OnGpu:
    """A network whose n-th call takes n milliseconds on the GPU."""

    def __init__(self, network: Network) -> None:
        self.network, self.milliseconds = network, 0

    def __call__(self, *inputs: np.ndarray) -> Arrays:
        self.milliseconds += 1
        return self.network(*inputs)


def test_the_time_on_the_gpu_is_beside_the_steps(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_on_gpu(folder: Path) -> Detector:
        detector = open_engine(folder)
        return replace(detector, network=OnGpu(detector.network))

    monkeypatch.setattr(stage, "open_engine", open_on_gpu)
    made = profile_job()

    run(made)

    profile = json.loads((made.output / "profile.json").read_text())
    assert set(profile["steps"]) == set(PROFILE_STEPS)
    # 200 calls follow 3 to warm up.
    expected = {"mean": 103.5, "p50": 103.5, "p90": 183.1, "p99": 201.01}
    assert profile["gpu"] == pytest.approx(expected)


def test_too_few_repeats_are_refused(profile_job: ProfileJob) -> None:
    with pytest.raises(StageError, match="199 repeats say nothing"):
        run(profile_job(repeats=199))


def test_percentiles_are_those_of_all_repeats() -> None:
    found = spread(np.arange(1.0, 202.0))

    assert found == Spread(mean=101, p50=101, p90=181, p99=199)


def test_the_total_is_that_of_each_repeat(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeat i takes i ms for every step, so the totals are six times that."""
    clock = iter(range(1000))

    def time_once(detector: Detector, path: Path) -> list[int]:
        return [(next(clock) - 2) * 1_000_000] * len(PROFILE_STEPS)  # 3 to warm up, then 1 to 200

    monkeypatch.setattr(stage, "time_once", time_once)

    total = run(profile_job()).metrics

    assert total == pytest.approx({"mean": 603, "p50": 603, "p90": 1080.6, "p99": 1188.06})


@pytest.mark.parametrize(
    ("p99", "others", "words"),
    [
        (110, 0.02, []),
        (110, None, []),
        (110, 0.4, ["other processes took 40%"]),
        (250, 0.0, ["2.5 times as long"]),
    ],
)
def test_numbers_from_a_busy_machine_come_with_a_warning(
    p99: float, others: float | None, words: list[str]
) -> None:
    warnings = doubts(Spread(mean=100, p50=100, p90=100, p99=p99), others)

    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


def test_the_garbage_collector_waits_and_comes_back() -> None:
    with no_garbage_collection():
        assert not gc.isenabled()

    assert gc.isenabled()
