"""The host runtime, with this test's own Python in the place of an environment."""

import shutil
import sys
from pathlib import Path

import pytest
from fakes import dataset_step

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import Job, Progress, write_job
from mmdet_jetson.contract.records import encode
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold, lock_beside
from mmdet_jetson.planning import stage_source
from mmdet_jetson.planning.stage_source import source_digest
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


def run(
    runtime: HostRuntime, folder: Path, heard: list[Progress], source: str = ""
) -> dict[str, object]:
    with hold(lock_beside(folder)) as lock:
        stage = StageRun(
            step=STEP,
            folder=folder,
            inputs={},
            on_progress=heard.append,
            lock=lock.fileno(),
            source=source,
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
    environ = host._environ(tmp_path, tmp_path / "source")
    assert (environ["PYTHONHASHSEED"], environ["MPLBACKEND"]) == ("0", "Agg")
    assert environ["GOMP_SPINCOUNT"] == "1"
    assert StageJob.__module__.startswith("mmdet_jetson.stages")


def test_a_stage_runs_the_source_of_its_key(runtime: HostRuntime, tmp_path: Path) -> None:
    drawn = {"train": 2, "val": 2, "size": [64, 64], "seed": 0}
    told = {"drawn": drawn, "classes": ["ellipse", "rectangle"]}
    folder = job_folder(tmp_path / "job", **told)
    run(runtime, folder, [], source_digest("dataset"))
    ran = folder / host.PINNED / "mmdet_jetson/stages/dataset.py"
    assert ran.read_bytes() == (stage_source.PACKAGE / "stages/dataset.py").read_bytes()
    other = job_folder(tmp_path / "other", **told)
    with pytest.raises(UserError, match="dataset: its source changed before it started"):
        run(runtime, other, [], "of another source")
    assert not (other / "result.json").exists()


def test_no_edit_reaches_a_stage_that_runs(
    runtime: HostRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It imports a module only when it needs it, and the result is that of the key."""
    package = tmp_path / "mmdet_jetson"
    shutil.copytree(stage_source.PACKAGE, package)
    monkeypatch.setattr(stage_source, "PACKAGE", package)
    formats = package / "stages/annotations/drawn.py"
    source = source_digest("dataset")

    def edit(progress: Progress) -> None:
        formats.write_text("raise SystemExit(1)")

    folder = job_folder(
        tmp_path / "job",
        drawn={"train": 2, "val": 2, "size": [64, 64], "seed": 0},
        classes=["ellipse", "rectangle"],
    )
    with hold(lock_beside(folder)) as lock:
        stage = StageRun(
            step=STEP, folder=folder, inputs={}, on_progress=edit, lock=lock.fileno(), source=source
        )
        runtime.run(stage)
    assert source_digest("dataset") != source
