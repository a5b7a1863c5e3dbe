"""What a job does when its time is nearly up, and when Slurm ends it."""

import signal
from pathlib import Path

import pytest
from fake_slurm import SLURM_TOML, FakeCluster, Node, train
from invoke.exceptions import Exit

from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.slurm.records import folders
from mmdet_jetson.slurm.time_limit import Ended, TimeIsUp, listening


@pytest.fixture(autouse=True)
def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm ends whoever asked it to be put back in the queue."""

    def pause() -> None:
        raise Ended

    monkeypatch.setattr(signal, "pause", pause)


def up(node: Node, *, at: str, times: int, keeps: bool) -> None:
    """Have the time be up in a stage, so many times, with a new checkpoint each time or none."""
    left = iter(range(times))

    def run(stage: StageRun) -> None:
        if stage.step.name != at:
            return
        number = next(left, None)
        if number is not None:
            if keeps:
                (stage.folder / f"work/epoch_{number}.pth").touch()
            raise TimeIsUp

    node.before_run = run


def test_a_training_that_gained_an_epoch_goes_back_in_the_queue(
    cluster: FakeCluster, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    up(node, at="train", times=2, keeps=True)
    train()
    said = capsys.readouterr()
    assert said.err.count("its time of 00:30:00 is up: it goes back in the queue") == 2
    assert "started again on node n1" in said.err
    assert "checkpoint demo.train: sha256:" in said.out
    assert node.runs.count("train") == 3
    assert node.runs.count("dataset") == 1


@pytest.mark.parametrize(
    ("step", "keeps", "told"),
    [
        ("train", False, "is too short for one epoch"),
        ("dataset", True, "dataset: the time limit of 00:30:00 is too short for this step"),
    ],
)
def test_where_nothing_is_gained_the_limit_is_too_short(
    cluster: FakeCluster, node: Node, step: str, keeps: bool, told: str
) -> None:
    up(node, at=step, times=1, keeps=keeps)
    with pytest.raises(Exit) as exited:
        train()
    assert told in str(exited.value.message)
    assert f"[steps.{step}]" in str(exited.value.message)


def test_only_so_many_times(cluster: FakeCluster, node: Node, tmp_path: Path) -> None:
    (tmp_path / "slurm.toml").write_text(f"{SLURM_TOML}requeues = 1")
    up(node, at="train", times=2, keeps=True)
    with pytest.raises(Exit, match=r"ended it 2 times, and requeues is 1"):
        train()
    train()  # which goes on
    assert node.runs.count("train") == 3


def test_a_job_that_is_ended_tells_nothing_and_slurm_says_why(
    cluster: FakeCluster, node: Node, tmp_path: Path
) -> None:
    def run(_: StageRun) -> None:
        raise Ended

    node.before_run = run
    with pytest.raises(Exit, match="job 11 on node n1 ended with exit code 143"):
        train()
    (folder,) = folders(tmp_path / "store")
    assert not list(folder.path.glob("*.outcome.json"))


def test_a_failure_of_an_earlier_run_is_not_the_ending_of_a_job(
    cluster: FakeCluster, node: Node, tmp_path: Path
) -> None:
    node.fails = True
    with pytest.raises(Exit, match="broke"):
        train()
    node.fails = False
    (folder,) = folders(tmp_path / "store")
    (failed,) = folder.path.glob("dataset-*.outcome.json")

    def died(_: StageRun) -> None:
        raise Ended

    node.before_run = died
    job = {"SLURM_JOB_ID": "11", "SLURMD_NODENAME": "n1", "SLURM_RESTART_COUNT": "1"}
    assert cluster.run([str(folder.path), "dataset"], job) == 143
    assert not failed.exists()


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGUSR1, TimeIsUp), (signal.SIGTERM, Ended)]
)
def test_signals_reach_whatever_runs(number: signal.Signals, raised: type[BaseException]) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGUSR1, signal.SIGTERM)]
    try:
        with listening(), pytest.raises(raised):
            signal.raise_signal(number)
    finally:
        for each, handler in zip((signal.SIGUSR1, signal.SIGTERM), before, strict=True):
            signal.signal(each, handler)
