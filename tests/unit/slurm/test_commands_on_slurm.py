"""Commands with ``--runtime slurm``, as users find them, over a Slurm that runs jobs here."""

import os
from pathlib import Path

import pytest
from fake_slurm import SLURM_TOML, FakeCluster, Node, attach, on_slurm, train
from invoke.exceptions import Exit

from mmdet_jetson.cli import attaching, verbs
from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.request import Request
from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.planning.steps import needed_for
from mmdet_jetson.processes import ProcessFailed
from mmdet_jetson.runtimes.selection import RuntimeOptions
from mmdet_jetson.runtimes.slurm import SlurmRuntime
from mmdet_jetson.slurm import following
from mmdet_jetson.slurm.records import Folder, folders
from mmdet_jetson.store import Store


def store_of(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def steps_of(cluster: FakeCluster) -> list[str]:
    return [cluster.step(job) for job in cluster.jobs]


def test_a_training_is_a_chain_of_jobs_and_ends_as_if_it_ran_here(
    cluster: FakeCluster, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train()
    said = capsys.readouterr()
    assert [each for each in node.runs if each in ("dataset", "check", "train")] == [
        "dataset", "check", "train",
    ]  # fmt: skip
    assert "checkpoint demo.train: sha256:" in said.out
    assert "mind the gap" in said.err
    assert {"demo.dataset", "demo.train"} <= set(store_of(tmp_path).tags())
    job = next(job for job in cluster.jobs if cluster.step(job) == "train")
    before = [each for each in cluster.jobs if cluster.step(each) in ("dataset", "check")]
    waits = next(each for each in cluster.options[job] if each.startswith("--dependency"))
    assert {*before} <= {*waits.removeprefix("--dependency=afterok:").split(":")}


def test_what_is_known_is_no_job_again(cluster: FakeCluster, node: Node) -> None:
    train()
    jobs, runs = len(cluster.jobs), len(node.runs)
    train()
    assert (len(cluster.jobs), len(node.runs)) == (jobs, runs)
    train("train.seed=5")
    assert steps_of(cluster)[jobs:] == ["train"]


def test_a_result_of_the_host_runtime_is_one_of_slurm(
    cluster: FakeCluster, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    train()
    monkeypatch.setenv("MMDET_JETSON_TRAIN", "cpu")  # as it is where no driver is loaded
    with verbs.session(Request(config="configs/demo.toml")) as now:
        steps = needed_for(now.steps, now.steps_of("train"))
        word = {each.step.name: each.word for each in now.states(steps)}
    assert (word["dataset"], word["train"]) == ("cached", "cached")


def test_detached_in_one_shell_and_attached_in_another(
    cluster: FakeCluster, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exit) as exited:
        train(detach=True)
    said = capsys.readouterr().out
    assert exited.value.code == 0
    (folder,) = folders(tmp_path / "store")
    assert f"invoke attach --id {folder.id}" in said
    assert node.runs == []
    attach()
    assert "checkpoint demo.train: sha256:" in capsys.readouterr().out
    runs = len(node.runs)
    attach(folder.id)  # when all is over it shows the same again
    shown = capsys.readouterr()
    assert "checkpoint demo.train: sha256:" in shown.out
    assert "train" in shown.err
    assert len(node.runs) == runs


def test_the_same_command_again_follows_what_is_queued(
    cluster: FakeCluster, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exit):
        train(detach=True)
    jobs = len(cluster.jobs)
    train()
    assert len(cluster.jobs) == jobs
    assert "makes this already" in capsys.readouterr().err
    assert len(folders(tmp_path / "store")) == 1


def test_another_command_waits_for_the_jobs_that_make_the_same(
    cluster: FakeCluster, node: Node, tmp_path: Path
) -> None:
    with pytest.raises(Exit):
        train(detach=True)
    jobs = len(cluster.jobs)
    train("train.seed=5")
    assert steps_of(cluster)[jobs:] == ["train"]
    assert node.runs.count("dataset") == 1
    assert node.runs.count("train") == 2


class Killed(BaseException):
    """No cleaning up comes behind it."""


@pytest.mark.parametrize("jobs_before", range(4))
def test_a_client_that_is_killed_while_it_submits_loses_nothing(
    cluster: FakeCluster,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    jobs_before: int,
) -> None:
    """It dies between two calls of sbatch, before the number of the last job is written down."""
    write = Folder.write_job
    written: list[str] = []

    def dies(folder: Folder, step: str, job: str) -> None:
        if len(written) == jobs_before:
            raise Killed
        written.append(step)
        write(folder, step, job)

    monkeypatch.setattr(Folder, "write_job", dies)
    with pytest.raises(Killed):
        verbs.run_verb("train", on_slurm())
    assert len(cluster.jobs) == jobs_before + 1
    monkeypatch.setattr(Folder, "write_job", write)
    train()
    assert sorted(steps_of(cluster)) == sorted({*steps_of(cluster)})
    assert node.runs.count("train") == 1
    assert "checkpoint demo.train: sha256:" in capsys.readouterr().out


def test_what_was_left_by_a_killed_client_is_cancelled_with_what_follows_it(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.held = {"dataset"}
    write = Folder.write_job
    monkeypatch.setattr(Folder, "write_job", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verbs.run_verb("train", on_slurm())
    monkeypatch.setattr(Folder, "write_job", write)
    with pytest.raises(Exit):
        train(detach=True)
    answering(attaching.cancel)()
    assert "cancelled" in capsys.readouterr().out
    assert {state.state for state in cluster.jobs.values()} == {"CANCELLED"}


def test_an_edit_between_submission_and_start_is_refused(
    cluster: FakeCluster, node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "configs/demo.toml"
    config.parent.mkdir()
    for name in ("demo.toml", "targets.toml", "sources.toml"):
        config.with_name(name).write_text((ROOT / "configs" / name).read_text())
    with pytest.raises(Exit):
        answering(
            lambda: verbs.run_verb(
                "train",
                Request(config=str(config), runtime=RuntimeOptions("slurm"), detach=True),
            )
        )()
    config.write_text(config.read_text().replace("workers = 0", "workers = 0\nepochs = 2"))
    while not all(state.has_ended for state in cluster.mine().values()):
        pass
    (folder,) = folders(tmp_path / "store")
    assert "dataset" in node.runs
    assert "train" not in node.runs
    outcome = next(folder.path.glob("train-*.outcome.json")).read_text()
    assert "parameter epochs (null then, 2 now) changed since submission" in outcome
    with pytest.raises(Exit, match="parameter epochs"):
        attach()


def test_a_stage_that_fails_ends_the_command_with_its_own_sentence(
    cluster: FakeCluster, node: Node
) -> None:
    node.fails = True
    with pytest.raises(Exit, match="dataset: broke") as exited:
        train()
    assert exited.value.code == 1
    states = {cluster.step(job): state.state for job, state in cluster.mine().items()}
    assert states["dataset"] == "FAILED"


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (("TIMEOUT", 0, 15), "was ended by its time limit of 0:30:00 (TIMEOUT)"),
        (("OUT_OF_MEMORY", 0, 9), "used more memory than it was given (OUT_OF_MEMORY)"),
        (("NODE_FAIL", 0, 0), "its node failed (node n1, NODE_FAIL), and it was not requeued"),
        (("PREEMPTED", 0, 15), "had to make room for a job that comes before it (PREEMPTED)"),
        (("CANCELLED", 0, 15), "was cancelled (CANCELLED)"),
        (("BOOT_FAIL", 0, 0), "got no node that would boot (BOOT_FAIL)"),
        (("DEADLINE", 0, 0), "could not end before its deadline (DEADLINE)"),
        (("FAILED", 64, 0), f"node n1 does not see {ROOT}: it is on no file system"),
        (("FAILED", 0, 53), "node n1 does not see "),
        (("FAILED", 7, 0), "ended with exit code 7 (FAILED) before it told why"),
    ],
)
def test_each_ending_of_a_job_is_a_sentence(
    cluster: FakeCluster, ending: tuple[str, int, int], told: str
) -> None:
    cluster.ends["dataset"] = ending
    with pytest.raises(Exit) as exited:
        train()
    assert told in str(exited.value.message)
    assert "\n  try: " in str(exited.value.message)


def test_why_a_job_waits_is_told_once(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.held, cluster.held_for = {"dataset"}, 5
    cluster.reason = "ReqNodeNotAvail, UnavailableNodes:n1"
    train()
    told = "no node that fits is available: they are down, drained or reserved"
    assert capsys.readouterr().err.count(told) == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("sbatch: error: invalid partition specified: x\nallocation failure: Invalid partition",
         "there is no partition 'main'"),
        ("allocation failure: Invalid account or account/partition combination specified",
         "account: Slurm does not let this user use it"),
        ("allocation failure: Invalid qos specification", "qos: Slurm does not let"),
        ("allocation failure: Invalid feature specification", "its --constraint asks for"),
        ("sbatch: error: Invalid generic resource (gres) specification", "no node has such GPUs"),
        ("sbatch: error: Memory specification can not be satisfied\nallocation failure: Requested"
         " node configuration is not available", "memory: no node has so much"),
        ("allocation failure: Requested time limit is invalid", "the partition allows no such"),
        ("sbatch: unrecognized option '--foo=3'", "options: this sbatch has no such option"),
        ("sbatch: error: something new", "Slurm takes no job for step dataset (sbatch: something"),
    ],
)  # fmt: skip
def test_what_slurm_does_not_take_is_told_before_anything_is_submitted(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    built: list[str] = []
    monkeypatch.setattr(SlurmRuntime, "prepare", lambda _, step: built.append(step.environment))
    cluster.refuses = said
    with pytest.raises(Exit) as exited:
        train()
    assert told in str(exited.value.message)
    assert "\n  try: " in str(exited.value.message)
    assert not built, "an environment takes minutes, and gigabytes where it is for CUDA"
    assert not folders(tmp_path / "store")


def test_a_module_that_a_node_does_not_have_is_told_by_its_name(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    settings = tmp_path / "slurm.toml"
    settings.write_text('modules = ["cuda/99"]\n' + SLURM_TOML)
    cluster.ends["dataset"] = ("FAILED", 80, 0)
    with pytest.raises(Exit) as exited:
        train()
    assert "node n1 could not load modules ['cuda/99']" in str(exited.value.message)
    assert "\n  try: set modules in " in str(exited.value.message)


def test_what_slurm_does_not_take_in_the_middle_leaves_nothing(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.refuses = "sbatch: error: Requested node configuration is not available"
    cluster.refuses_step = "train"
    with pytest.raises(Exit, match="no node has all of it"):
        train()
    assert {state.state for state in cluster.jobs.values()} <= {"CANCELLED", "COMPLETED"}
    assert not folders(tmp_path / "store")


def test_nodes_that_are_all_drained_are_waited_for(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``sbatch --test-only`` says, and ``sbatch`` does not."""

    def test(*_: object) -> None:
        told = "allocation failure: Requested node configuration is not available"
        raise ProcessFailed(["sbatch"], 1, told, None)

    monkeypatch.setattr(cluster, "test", test)
    train()
    assert "train" in steps_of(cluster)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("NODE_FAIL", "is in the queue again: its node failed; it starts anew"),
        ("PREEMPTED", "it had to make room for a job that comes before it; it starts anew"),
        ("", "its node failed, it had to make room, or somebody asked for it; it starts anew"),
    ],
)
def test_a_job_that_is_put_back_in_the_queue_is_told_of(
    cluster: FakeCluster, node: Node, capsys: pytest.CaptureFixture[str], before: str, told: str
) -> None:
    cluster.before, cluster.back = before, ["dataset"]
    train()
    assert capsys.readouterr().err.count(told) == 1
    assert node.runs.count("dataset") == 1


def test_a_partition_that_does_not_exist_names_the_nearest(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "slurm.toml").write_text('partition = "mian"')
    with pytest.raises(Exit) as exited:
        train()
    assert "there is no partition 'mian'" in str(exited.value.message)
    assert "did you mean 'main'?" in str(exited.value.message)
    assert exited.value.code == 2
    assert not cluster.tested


@pytest.mark.parametrize("on_interrupt", ["detach", "cancel"])
def test_ctrl_c_asks_nothing(
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    on_interrupt: str,
) -> None:
    (tmp_path / "slurm.toml").write_text(f'{SLURM_TOML}on_interrupt = "{on_interrupt}"')
    cluster.held = {"dataset"}

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.Follower, "_tell", press)
    monkeypatch.setattr(following._Watch, "look", press)
    with pytest.raises(Exit) as exited:
        train()
    assert exited.value.code == 130
    states = {state.state for state in cluster.jobs.values()}
    if on_interrupt == "detach":
        assert "goes on" in str(exited.value.message)
        assert states == {"PENDING"}
    else:
        assert "cancelled submission" in str(exited.value.message)
        assert states == {"CANCELLED"}


@pytest.mark.parametrize("on_interrupt", ["detach", "cancel"])
def test_ctrl_c_while_jobs_are_submitted(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on_interrupt: str
) -> None:
    (tmp_path / "slurm.toml").write_text(f'{SLURM_TOML}on_interrupt = "{on_interrupt}"')
    cluster.held = {"dataset"}

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "write_job", press)
    with pytest.raises(Exit) as exited:
        train()
    assert exited.value.code == 130
    (state,) = cluster.jobs.values()
    if on_interrupt == "detach":
        assert "submit the rest of it: run the same command again" in str(exited.value.message)
        assert state.state == "PENDING"
    else:
        assert state.state == "CANCELLED"


def test_old_submissions_go_when_the_next_is_made(cluster: FakeCluster, tmp_path: Path) -> None:
    train()
    (old,) = folders(tmp_path / "store")
    os.utime(old.path, (0, 0))
    train("train.seed=5")
    (new,) = folders(tmp_path / "store")
    assert new.id != old.id


def test_detach_is_for_slurm(cluster: FakeCluster) -> None:
    with pytest.raises(Exit, match="--detach is for jobs of Slurm"):
        answering(
            lambda: verbs.run_verb("dataset", Request(config="configs/demo.toml", detach=True))
        )()


def test_there_is_nothing_to_attach_to(cluster: FakeCluster) -> None:
    with pytest.raises(Exit, match="has no submissions"):
        attach()


def test_a_submission_that_does_not_exist_names_the_nearest(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    with pytest.raises(Exit):
        train(detach=True)
    (folder,) = folders(tmp_path / "store")
    with pytest.raises(Exit, match=f"did you mean '{folder.id}'"):
        attach(folder.id[:-1] + "x")
