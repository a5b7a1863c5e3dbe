"""The host runtime, with this test's own Python in the place of an environment."""

import sys
from pathlib import Path

import pytest
from fakes import dataset_step

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import Job, Progress, write_job
from mmdet_jetson.contract.records import encode
from mmdet_jetson.locks import hold, lock_beside
from mmdet_jetson.runtimes import host
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.stages.job import StageJob

STEP = dataset_step()


@pytest.fixture
def runtime(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> HostRuntime:
    monkeypatch.setattr(host, "python_of", lambda *_: Path(sys.executable))
    return HostRuntime(settings, print)


def job_folder(folder: Path, **parameters: object) -> Path:
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True)
    write_job(folder, Job("dataset", {**encode(STEP.parameters), **parameters}, {}))
    return folder


def run(runtime: HostRuntime, folder: Path, heard: list[Progress]) -> dict[str, object]:
    with hold(lock_beside(folder)) as lock:
        stage = StageRun(
            step=STEP, folder=folder, inputs={}, on_progress=heard.append, lock=lock.fileno()
        )
        return dict(runtime.run(stage).metrics)


def test_a_stage_runs_as_a_process_and_is_heard(runtime: HostRuntime, tmp_path: Path) -> None:
    heard: list[Progress] = []
    drawn = {"train": 12, "val": 12, "size": [64, 64], "seed": 0}
    folder = job_folder(tmp_path / "job", drawn=drawn, classes=["ellipse", "rectangle"])
    metrics = run(runtime, folder, heard)
    assert set(metrics) == {"train", "val"}
    assert (heard[-1].step, heard[-1].total) == (48, 48)
    assert (folder / "output/val.json").exists()


def test_what_a_stage_cannot_do_is_its_own_sentence(runtime: HostRuntime, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", classes=["balloon"])
    with pytest.raises(StageFailed, match="the drawn dataset shows ellipse and rectangle"):
        run(runtime, folder, [])


def test_a_bug_keeps_its_traceback_in_the_log(runtime: HostRuntime, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", seed=1)
    with pytest.raises(StageFailed, match="DatasetParameters has no 'seed'"):
        run(runtime, folder, [])
    assert "Traceback" in (folder / "log.txt").read_text()


def test_every_backend_has_an_environment(settings: Settings) -> None:
    environments = HostRuntime(settings, print).environments
    assert {"train", *(backend.environment for backend in BACKENDS.values())} == set(environments)
    for environment in environments.values():
        assert environment.lock.is_file()


def test_two_runs_of_a_stage_differ_in_nothing_that_this_machine_sets(
    runtime: HostRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    environ = host._environ(tmp_path)
    assert (environ["PYTHONHASHSEED"], environ["MPLBACKEND"]) == ("0", "Agg")
    assert environ["GOMP_SPINCOUNT"] == "1"
    assert StageJob.__module__.startswith("mmdet_jetson.stages")
