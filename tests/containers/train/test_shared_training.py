"""Trainings that several processes share out, beside those of a single one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from trainings import PARAMETERS, ROOT, load_job, metrics_of, train_job, write_split

from mmdet_jetson.contract.job import parse_progress, read_failure, read_result
from mmdet_jetson.contract.process import LOST, RANK_LOGS, TASKS, WORLD
from mmdet_jetson.stages import train
from mmdet_jetson.stages.job import FAILED, StageJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mmdet_jetson.contract.parameters.train import TrainParameters

# The demo's network under FCOS's head. RTMDet's divides a loss by what is found in a step's pictures,
# but by 1 at least, each process for itself: with so few objects that halves it.
CONFIG = """
_base_ = "rtmdet_tiny_demo.py"
model = {
    "bbox_head": {
        "_delete_": True,
        "type": "FCOSHead",
        "num_classes": 2,
        "in_channels": 96,
        "feat_channels": 32,
        "stacked_convs": 1,
        "strides": [8, 16, 32],
        "regress_ranges": ((-1, 32), (32, 64), (64, 1e8)),
        "norm_cfg": {"type": "SyncBN"},
    },
    "train_cfg": None,
}
"""
# Nothing random in the pictures: then a step has the same ones however many processes share it.
STILL = {
    "train_dataloader.dataset.pipeline.3.prob": 0.0,
    "default_hooks.checkpoint.interval": 1,
    "train_cfg.val_interval": 1,
}
SHARED = replace(
    PARAMETERS, config="configs/train/fcos.py", epochs=2, batch_size=4, overrides=STILL
)
MOST_SECONDS = 30


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that a step divides: else two processes repeat one at an epoch's end."""
    folder = tmp_path_factory.mktemp("pictures")
    write_split(folder, "train", 12)
    write_split(folder, "val", 5)
    return folder


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input ``config`` of these trainings."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "configs/train").mkdir(parents=True)
    base = "configs/train/rtmdet_tiny_demo.py"
    (folder / base).write_bytes((ROOT / base).read_bytes())
    (folder / SHARED.config).write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def alone(
    pictures: Path, configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> StageJob[TrainParameters]:
    """A training by a single process."""
    folder = tmp_path_factory.mktemp("alone")
    train_job(folder, pictures, SHARED, config=configs)
    assert start(folder).wait() == 0
    return load_job(folder)


@pytest.fixture(scope="module")
def shared(
    pictures: Path, configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> StageJob[TrainParameters]:
    """The same by two."""
    folder = tmp_path_factory.mktemp("shared")
    train_job(folder, pictures, SHARED, config=configs)
    assert start(folder, {WORLD: "2"}).wait() == 0
    return load_job(folder)


def start(folder: Path, told: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mmdet_jetson.stages.train", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(told or {})}
    with (folder / "out.txt").open("ab") as out, (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command, env=environment, stdout=out, stderr=log, start_new_session=True
        )


def folder_of(job: StageJob[TrainParameters]) -> Path:
    return job.output.parent


def losses(job: StageJob[TrainParameters]) -> list[float]:
    return [point["loss"] for point in metrics_of(job)["curves"]["train"]]


def test_two_processes_have_the_losses_of_one_in_every_step(
    alone: StageJob[TrainParameters], shared: StageJob[TrainParameters]
) -> None:
    one, two = losses(alone), losses(shared)
    assert len(one) == 2 * 3
    assert two[:2] == pytest.approx(one[:2], rel=1e-5)
    assert two == pytest.approx(one, rel=1e-2)


def test_two_processes_make_the_files_and_figures_of_one(
    alone: StageJob[TrainParameters], shared: StageJob[TrainParameters]
) -> None:
    files = [
        sorted(path.name for path in job.output.iterdir() if path.name != "tensorboard")
        for job in (alone, shared)
    ]
    assert files[0] == files[1]
    configs = [(job.output / "config.py").read_text() for job in (alone, shared)]
    assert configs[0] == configs[1]
    assert [entry["epoch"] for entry in metrics_of(shared)["curves"]["val"]] == [1, 2]
    results = [read_result(folder_of(job)) for job in (alone, shared)]
    assert results[0] is not None
    assert results[1] is not None
    assert results[0].warnings == results[1].warnings
    facts = results[1].facts
    assert [facts[name] for name in ("nodes", "processes")] == [1, 2]
    assert [facts[name] for name in ("effective_batch", "batch_per_process")] == [4, 2]
    assert results[0].facts["batch_per_process"] == 4


def test_the_first_process_alone_reports(shared: StageJob[TrainParameters]) -> None:
    lines = (folder_of(shared) / "out.txt").read_text().splitlines()
    told = [parse_progress(line) for line in lines]
    assert None not in told
    steps = [each.step for each in told if each and "loss" in each.metrics]
    assert steps == list(range(1, 7))
    assert len(list((shared.output / "tensorboard").iterdir())) == 1


@pytest.fixture
def two(pictures: Path, configs: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Two processes at a long training; whatever is left of them ends with the test."""
    train_job(tmp_path, pictures, replace(SHARED, epochs=30), config=configs)
    process = start(tmp_path, {WORLD: "2"})
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def members(group: int) -> dict[int, str]:
    """The processes of a group that still run, with their ranks."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            variables = (folder / "environ").read_bytes().split(b"\0")
            if int(fields[2]) == group and fields[0] != "Z":
                ranks = [each[5:].decode() for each in variables if each.startswith(b"RANK=")]
                found[int(folder.name)] = "".join(ranks)
    return found


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 300
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert path.exists()


def test_a_killed_rank_is_told_and_a_single_process_goes_on(
    two: subprocess.Popen[bytes], pictures: Path, configs: Path, tmp_path: Path
) -> None:
    wait_for(tmp_path / "work/epoch_1.pth", two)
    victim = next(pid for pid, rank in members(two.pid).items() if rank == "1")
    os.kill(victim, signal.SIGKILL)
    assert two.wait(MOST_SECONDS) == FAILED
    assert members(two.pid) == {}
    failure = read_failure(tmp_path)
    assert failure
    assert "rank 1, one of its 2 processes, ended with signal SIGKILL" in failure.message
    assert read_result(tmp_path) is None

    done = max(int(path.stem[6:]) for path in (tmp_path / "work").glob("epoch_*.pth"))
    (tmp_path / "failure.json").unlink()
    job = train_job(tmp_path, pictures, replace(SHARED, epochs=done + 1), config=configs)
    train.run(job)
    epochs = [entry["epoch"] for entry in metrics_of(job)["curves"]["val"]]
    assert epochs == list(range(1, done + 2))


def test_the_first_rank_is_told_too(two: subprocess.Popen[bytes], tmp_path: Path) -> None:
    wait_for(tmp_path / "work/epoch_1.pth", two)
    os.kill(next(pid for pid, rank in members(two.pid).items() if rank == "0"), signal.SIGSEGV)
    assert two.wait(MOST_SECONDS) == FAILED
    failure = read_failure(tmp_path)
    assert failure
    assert "rank 0, one of its 2 processes, ended with signal SIGSEGV" in failure.message
    assert "mmengine" in failure.message, "its last words"


def test_a_picture_that_one_of_them_cannot_read_is_no_death(
    pictures: Path, configs: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "pictures"
    for split in ("train", "val"):
        (broken / split).mkdir(parents=True)
        for path in (pictures / split).iterdir():
            (broken / split / path.name).write_bytes(path.read_bytes())
        (broken / f"{split}.json").write_bytes((pictures / f"{split}.json").read_bytes())
    (broken / "train/7.ppm").write_bytes(b"P6 64 64")
    job = tmp_path / "job"
    train_job(job, broken, replace(SHARED, epochs=1), config=configs)
    # As two tasks of a batch job are started.
    meeting = {WORLD: "2", TASKS: "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    places = [{"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)} for n in (0, 1)]
    tasks = [start(job, {**meeting, **place, "SLURM_NTASKS_PER_NODE": "2"}) for place in places]
    codes = [task.wait(120) for task in tasks]
    assert sorted(codes) == [FAILED, LOST]
    failure = read_failure(job)
    assert failure
    assert "a picture cannot be prepared: LoadImageFromFile" in failure.message
    assert (job / "work" / RANK_LOGS / "rank-1.log").read_text()


def free_port() -> str:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_who_is_told_to_end_ends_all_and_shows_no_traceback(
    two: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    wait_for(tmp_path / "work/epoch_1.pth", two)
    two.terminate()
    assert two.wait(MOST_SECONDS) == 128 + signal.SIGTERM
    assert members(two.pid) == {}
    assert "SignalException" not in (tmp_path / "log.txt").read_text()
