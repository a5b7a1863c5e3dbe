"""The host runtime, with this test's own Python in the place of an environment."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import dataset_step, train_step

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import Job, Progress, write_job
from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.evaluate import (
    DrawingParameters,
    EvaluateCheckpointParameters,
    EvaluateEngineParameters,
)
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.records import encode
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold, lock_beside
from mmdet_jetson.planning import stage_source, stages
from mmdet_jetson.planning.explain import changes_of_environment
from mmdet_jetson.planning.stage_source import source_digest
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.runtimes import host
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.stages.job import StageJob

STEP = dataset_step()
DRAWING = DrawingParameters(0, 0.5)
PARAMETERS: Mapping[str, Parameters] = {
    "train": train_step().parameters,
    "engine": EngineParameters("pc-rtx", "tensorrt_rtx", "fp16", (86,), None),
    "evaluate_engine": EvaluateEngineParameters(DRAWING),
    "profile": ProfileParameters(200, 3),
    "evaluate_checkpoint": EvaluateCheckpointParameters("checkpoint", "auto", DRAWING),
}


def target_step(module: str, *, uses_gpu: bool) -> Step:
    (stage,) = [each for each in stages.STAGES if each.module == module]
    return Step(
        stage=stage,
        parameters=PARAMETERS[module],
        environment=stage.environment or "deploy-rtx",
        uses_gpu=uses_gpu,
    )


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the person who runs the tests has set."""
    for name in [each for each in os.environ if each.startswith((*host.ROUNDING, *host.THREADS))]:
        monkeypatch.delenv(name)


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


A100 = Gpu("NVIDIA A100", "a1", 80, "535.129.03", "12.2")
OTHER_CARDS = [
    A100,
    replace(A100, name="NVIDIA H200", sm=90),
    replace(A100, name="NVIDIA A30"),
    replace(A100, driver="550.54.15"),
    None,
]


def on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, gpu: Gpu | None, board: str = ""
) -> HostRuntime:
    """The runtime of a machine with a GPU; programs may be forbidden to see it."""
    there = Machine("amd64", has_gpu=True, board=board)
    monkeypatch.setattr(host, "this_machine", lambda: there)
    said = json.dumps(gpu and encode(gpu))
    monkeypatch.setattr(host, "output_of", lambda command, env: said)
    return HostRuntime(settings, print)


@pytest.mark.parametrize("stage", ["engine", "evaluate_engine", "profile", "evaluate_checkpoint"])
def test_another_card_reuses_nothing(
    stage: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = target_step(stage, uses_gpu=True)
    found = {on(settings, monkeypatch, gpu).identity(step) for gpu in OTHER_CARDS}
    found.add(on(settings, monkeypatch, A100, "Jetson Orin NX").identity(step))
    assert len(found) == len(OTHER_CARDS) + 1


@pytest.mark.parametrize(("stage", "uses_gpu"), [("engine", False), ("train", True)])
def test_what_needs_no_gpu_and_what_was_trained_stays(
    stage: str, uses_gpu: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = target_step(stage, uses_gpu=uses_gpu)
    assert len({on(settings, monkeypatch, gpu).identity(step) for gpu in OTHER_CARDS}) == 1


def test_a_machine_without_a_gpu_is_not_asked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that has a GPU only once, and only for what uses it."""
    asked: list[object] = []

    def ask(command: Sequence[str], env: Mapping[str, str]) -> str:
        asked.append(env)
        return "null"

    step = target_step("engine", uses_gpu=True)
    for has_gpu in (False, True):
        there = Machine("amd64", has_gpu=has_gpu)
        monkeypatch.setattr(host, "this_machine", lambda there=there: there)
        monkeypatch.setattr(host, "output_of", ask)
        machine = HostRuntime(settings, print)
        machine.identity(target_step("engine", uses_gpu=False))
        assert not asked
        for _ in range(3):
            machine.identity(step)
        assert len(asked) == has_gpu


def test_the_driver_is_asked_as_a_stage_would_ask_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process with the same environment variables: they choose the GPU, or hide all."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setattr(host, "this_machine", lambda: Machine("amd64", has_gpu=True))
    environs: list[Mapping[str, str]] = []

    def ask(command: Sequence[str], env: Mapping[str, str]) -> str:
        environs.append(env)
        return output_of(command, env)

    monkeypatch.setattr(host, "output_of", ask)
    assert HostRuntime(settings, print).gpu is None  # this machine has none
    assert environs[0]["CUDA_VISIBLE_DEVICES"] == "2"


def test_which_gpu_a_pc_has_is_known_before_a_training(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine of TensorRT for RTX runs on those only that it was compiled for."""
    found = [on(settings, monkeypatch, gpu).machine for gpu in (A100, None)]
    assert [(each.has_gpu, each.sm) for each in found] == [(True, 80), (False, None)]


def test_a_closed_device_file_counts_where_cuda_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JetPack 5 has files of the group `render`, too, and CUDA needs `video` alone there."""
    for gpu, told in ((A100, ()), (None, ("/dev/dri/renderD128",))):
        runtime = on(settings, monkeypatch, gpu)
        closed = ("/dev/dri/renderD128",)
        runtime.by_files = replace(runtime.by_files, l4t="35.4.1", closed=closed)
        assert runtime.machine.closed == told


def test_a_driver_that_fails_is_no_gpu(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = on(settings, monkeypatch, A100)

    def fail(command: list[str], env: object) -> str:
        raise ProcessFailed(command, -11, "", None)

    monkeypatch.setattr(host, "output_of", fail)
    assert machine.gpu is None


def test_a_timing_belongs_to_its_gpu_and_power_mode(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = target_step("profile", uses_gpu=True)
    monkeypatch.setattr(host, "power_mode", lambda: "power mode MAXN")
    first = on(settings, monkeypatch, A100, "a board").device(step)
    assert first.endswith(":a board:a1:power mode MAXN")
    twin = on(settings, monkeypatch, replace(A100, uuid="a2"), "a board")
    assert twin.device(step) != first
    assert "a2" not in twin.device(replace(step, uses_gpu=False))
    monkeypatch.setattr(host, "power_mode", lambda: "power mode 15W")
    assert twin.device(step).endswith("a2:power mode 15W")


def test_variables_that_a_stage_inherits_are_told_where_they_act(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, step = on(settings, monkeypatch, A100), target_step("profile", uses_gpu=True)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert machine.device(step).endswith(":OMP_NUM_THREADS=1")
    before = machine.identity(step)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert machine.identity(step) == f"{before}:NVIDIA_TF32_OVERRIDE=0"


def test_the_difference_is_named() -> None:
    was = "deploy:1:py3.11:x86_64:NVIDIA A100:sm80:driver 535.129.03"
    now = "deploy:1:py3.11:x86_64:NVIDIA H200:sm90:driver 535.129.03"
    told = "environment deploy: was NVIDIA A100, sm80, is NVIDIA H200, sm90"
    assert changes_of_environment(was, now) == told


def test_environment_train_is_refused_where_it_has_no_packages(runtime: HostRuntime) -> None:
    """Before anything runs: MMDeploy's wheel is for x86-64 only."""
    engine = target_step("engine", uses_gpu=False)
    runtime.by_files = replace(runtime.by_files, architecture="arm64")
    runtime.check([engine])

    with pytest.raises(UserError, match="train runs in environment `train`") as caught:
        runtime.check([train_step(), engine])
    assert "--onnx FOLDER" in caught.value.hint

    runtime.by_files = replace(runtime.by_files, architecture="amd64")
    runtime.check([train_step(), engine])
