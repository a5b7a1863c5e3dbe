import gc
import io
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_engines import dataset_folder, engine_folder, job
from jetson_power import write_clocks, write_mode
from machine_trees import AGX_ORIN, hot, lay_out, throttled

from mmdet_jetson.contract.conditions import Conditions
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.report import PROFILE_STEPS, Spread, read_profile
from mmdet_jetson.stages import profile as stage
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.conditions import Watch
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.network import Arrays, Network
from mmdet_jetson.stages.inference.power import power_state
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.profile import doubts, no_garbage_collection, run, timed_pictures

ProfileJob = Callable[..., StageJob[ProfileParameters]]


@pytest.fixture
def profile_job(tmp_path: Path) -> ProfileJob:
    def prepare(samples: int = 200, seconds: float = 0) -> StageJob[ProfileParameters]:
        inputs = {
            "engine": engine_folder(tmp_path),
            "dataset": dataset_folder(tmp_path / "dataset"),
        }
        parameters = ProfileParameters(samples, warmup=3, seconds=seconds)
        return job(tmp_path, parameters, inputs, "profile", evidence="measured")

    return prepare


def test_every_step_is_timed_and_the_machine_is_named(profile_job: ProfileJob) -> None:
    made = profile_job()

    result = run(made)

    profile = json.loads((made.output / "profile.json").read_text())
    assert set(profile["steps"]) == set(PROFILE_STEPS)
    for times in [*profile["steps"].values(), profile["total"]]:
        assert 0 < times["p50"] <= times["p90"]
        assert times["p99"] is None  # 200 samples carry none
    assert (profile["samples"], profile["warmup"], profile["pictures"]) == (200, 3, 3)
    assert (profile["unit"], profile["evidence"]) == ("ms", "measured")
    assert profile["machine"]["cores"] >= 1
    assert {"cpu", "memory_gb", "system", "python", "onnxruntime", "opencv", "load_average"} < set(
        profile["machine"]
    )
    assert 20 < profile["machine"]["peak_memory_mb"] < 20_000
    assert result.metrics == profile["total"]
    assert profile["gpu"] is None
    bounds = profile["bounds"]
    assert bounds["p50"]["low"] <= profile["total"]["p50"] <= bounds["p50"]["high"]
    assert bounds["p90"]["low"] <= profile["total"]["p90"] <= bounds["p90"]["high"]
    assert bounds["p99"]["low"] > 0
    assert bounds["p99"]["high"] is None
    conditions = profile["conditions"]
    assert conditions["looks"] >= 2  # before and after
    assert conditions["seconds"] == profile["seconds"] > 0
    assert conditions["drift"] is not None
    assert conditions["others"] == profile["machine"]["busy_with_others"]


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
    # 200 calls follow some to warm up and to settle, one a millisecond longer than the one before.
    gpu = profile["gpu"]
    assert gpu["p90"] - gpu["p50"] == pytest.approx(79.6, abs=2)
    assert gpu["p99"] is None


def test_too_few_samples_are_refused(profile_job: ProfileJob) -> None:
    with pytest.raises(StageError, match="199 samples say too little"):
        run(profile_job(samples=199))


class Told:
    """A clock that rounds advance, each by the next of some milliseconds, and looks at a machine."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, milliseconds: Callable[[int], float]
    ) -> None:
        self.now, self.rounds, self.looks = 0.0, 0, list[tuple[float, int]]()
        self.milliseconds = milliseconds
        self.timed: list[Path] = []
        monkeypatch.setattr(stage, "time_once", self.time_once)
        monkeypatch.setattr(stage, "monotonic", lambda: self.now)
        monkeypatch.setattr(stage, "watch_of", lambda _: self)

    def time_once(self, _: Detector, path: Path) -> list[int]:
        taken = self.milliseconds(self.rounds)
        self.rounds += 1
        self.now += taken / 1000
        self.timed.append(path)
        return [round(taken * 1e6 / len(PROFILE_STEPS))] * len(PROFILE_STEPS)

    def look(self) -> None:
        assert not gc.isenabled()
        self.looks.append((self.now, self.rounds))
        self.now += 0.003

    def conditions(self, wanted: str | None, **known: float) -> Conditions:
        return Conditions("pc", looks=len(self.looks), **known)  # type: ignore[arg-type]


def test_the_total_is_that_of_each_sample(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rounds warm up and one settles, then sample i takes 20 i ms."""
    Told(monkeypatch, lambda index: max(20, 20 * (index - 3)))
    monkeypatch.setattr(stage, "LOOK_EVERY", math.inf)

    total = run(profile_job()).metrics

    assert total == pytest.approx({"mean": 2010, "p50": 2010, "p90": 3602, "p99": None})


def test_the_machine_is_looked_at_once_a_second_and_the_round_after_is_not_timed(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that follows a look takes far longer here."""
    told = Told(monkeypatch, lambda index: 500 if fresh() else 20)

    def fresh() -> bool:
        return bool(told.looks) and told.rounds == told.looks[-1][1]

    made = profile_job()
    run(made)

    profile = json.loads((made.output / "profile.json").read_text())
    assert profile["total"]["mean"] == pytest.approx(20)
    assert profile["samples"] == 200
    times = [moment for moment, _ in told.looks]
    assert len(times) == 2 + 3  # before, after, and in 4 s of samples
    apart = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(apart[:-1]) >= stage.LOOK_EVERY


def test_after_a_look_a_fast_engine_runs_untimed_for_a_while(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(monkeypatch, lambda _: 2)
    run(profile_job(samples=200))
    # 3 to warm up, and after the first look 2 ms each until 10 are over
    assert told.rounds == 3 + 5 + 200


def test_it_is_timed_until_there_are_enough_samples_and_seconds(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    Told(monkeypatch, lambda _: 10)
    made = profile_job(samples=200, seconds=30)
    run(made)
    profile = json.loads((made.output / "profile.json").read_text())
    assert 2800 < profile["samples"] < 3000  # the looks and what follows them take time, too
    assert 30 <= profile["seconds"] < 30.1
    assert profile["total"]["p99"] == pytest.approx(10)
    assert profile["bounds"]["p99"]["high"] == pytest.approx(10)


def test_no_sample_is_left_out_of_a_long_profile_that_is_short_of_samples(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    Told(monkeypatch, lambda _: 100)
    made = profile_job(samples=459, seconds=1)
    run(made)
    profile = json.loads((made.output / "profile.json").read_text())
    assert profile["samples"] == 459
    assert profile["total"]["p99"] is not None


def test_progress_is_that_of_what_takes_longer(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    Told(monkeypatch, lambda _: 100)
    said = io.StringIO()
    made = profile_job(samples=200, seconds=60)
    run(replace(made, channel=said))
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert lines[0] == {**lines[0], "step": 1, "total": 60, "label": "seconds"}
    assert lines[-1] == {**lines[-1], "step": 60, "total": 60, "label": "seconds"}
    said = io.StringIO()
    run(replace(made, channel=said, parameters=replace(made.parameters, seconds=0)))
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert lines[-1] == {**lines[-1], "step": 200, "total": 200, "label": "samples"}


def test_a_slowed_machine_is_told_in_warnings(
    profile_job: ProfileJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tree = lay_out(tmp_path / "orin", AGX_ORIN, throttled(), hot())
    monkeypatch.setattr(stage, "watch_of", lambda _: Watch(tree))
    made = profile_job()

    result = run(made)

    words = ("locked clocks were slowed down", "gpu-throttle-alert", "cpu-thermal 98 of 99 °C")
    assert all(any(word in each for each in result.warnings) for word in words)
    conditions = read_profile(made.output / "profile.json").conditions
    assert conditions
    assert conditions.clocks["gpu"].lowest_seen == 918_000_000


def test_each_picture_is_in_every_quarter() -> None:
    many = [Path(f"{index}.jpg") for index in range(1000)]
    chosen = timed_pictures(many, 200)
    assert len(chosen) == 50
    assert chosen == many[::20]  # spread evenly
    assert timed_pictures(many[:13], 200) == many[:13]
    assert timed_pictures(many, 4000) == many


@pytest.mark.parametrize(
    ("p99", "others", "words"),
    [
        (110, 0.02, []),
        (110, None, []),
        (110, 0.4, ["other processes took 40%"]),
        (250, 0.0, ["2.5 times as long as the middle one (p99 over p50)"]),
        (None, 0.0, []),
    ],
)
def test_numbers_from_a_busy_machine_come_with_a_warning(
    p99: float | None, others: float | None, words: list[str]
) -> None:
    warnings = doubts(Spread(mean=100, p50=100, p90=100, p99=p99), others)

    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


def test_without_a_p99_the_slowest_are_the_p90() -> None:
    (warning,) = doubts(Spread(mean=100, p50=100, p90=230, p99=None), 0.0)
    assert "2.3 times as long as the middle one (p90 over p50)" in warning


def test_the_garbage_collector_waits_and_comes_back() -> None:
    with no_garbage_collection():
        assert not gc.isenabled()

    assert gc.isenabled()
