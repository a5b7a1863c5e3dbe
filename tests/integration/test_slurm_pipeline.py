"""Whole pipelines as chains of jobs: the demo on two nodes, and clients that go or are killed."""

import contextlib
import json
import os
import random
import subprocess
from collections.abc import Iterator

import pytest
from commands import ROOT, new_commands
from slurm_cluster import Cluster, SlurmCommands, on_slurm, until
from test_kills import ended, kill_group
from test_runs import words
from test_slurm_endings import JOBS, until_said

KILLS = int(os.environ.get("MMDET_JETSON_TEST_CLIENT_KILLS", "10"))
AGAIN = (
    "train", *JOBS,
    "--set", "train.epochs=8", "--set", "dataset.drawn.seed=1",
)  # fmt: skip
TWO_NODES = ("--set", "train.nodes=2", "--set", "train.batch_size=16")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, slurm: Cluster) -> Iterator[SlurmCommands]:
    """The demo as it is shipped, submitted as a whole; nobody follows it."""
    commands = new_commands(
        tmp_path_factory.mktemp("demo"), (ROOT / "configs/demo.toml").read_text()
    )
    found = on_slurm(commands, slurm)
    done = found.run("pipeline", *JOBS, *TWO_NODES, "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "follow it: invoke attach" in done.stdout
    yield found
    found.cancel_all()


def outcomes(batch: SlurmCommands, step: str) -> list[dict[str, object]]:
    """What the jobs of a step told at their end, in all submissions."""
    files = batch.artifacts.glob(f"slurm/*/{step}-*.outcome.json")
    names = [path for path in files if path.name[len(step) + 1 :].partition(".")[0].isdigit()]
    return [json.loads(path.read_text()) for path in names]


def test_the_demo_on_two_nodes_is_attached_from_another_shell(demo: SlurmCommands) -> None:
    followed = demo.run("attach")
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert "✓ report" in followed.stdout + followed.stderr
    assert (demo.artifacts / "reports/demo.html").exists()
    assert words(demo.run("status", *JOBS, *TWO_NODES).stdout) == {"cached"}
    # A result does not depend on where it was made, nor on how many processes made it.
    assert words(demo.run("status", *TWO_NODES[2:]).stdout) == {"cached"}
    assert demo.run("verify").returncode == 0


def test_the_login_node_goes_and_the_chain_ends(batch: SlurmCommands) -> None:
    """Everything of the session is killed once the jobs are submitted; jobs made here go on there."""
    assert batch.run("dataset").returncode == 0  # made here: the jobs read it from the store
    process = batch.start("pipeline", *JOBS)
    until_said(process, "submission ")
    kill_group(process)
    assert outcomes(batch, "report") == []
    until("the end of the chain", lambda: outcomes(batch, "report"), 600)
    until("an empty queue", batch.idle, 60)
    assert outcomes(batch, "dataset") == []  # it was never a job
    assert words(batch.run("status").stdout) == {"cached"}
    attached = batch.run("attach")
    assert ended(attached), attached.stdout + attached.stderr


def test_a_client_killed_at_any_moment_loses_nothing(checked_batch: SlurmCommands) -> None:
    """Each rerun finds the jobs of those before it, so that nothing is made twice."""
    batch = checked_batch
    chance = random.Random(0)
    moment = 2.0
    for _ in range(KILLS):
        process = batch.start(*AGAIN)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.2, moment))
        kill_group(process)
        moment *= 1.3
    done = batch.run(*AGAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    until("an empty queue", batch.idle, 60)
    for step in ("dataset", "train"):
        made = [each for each in outcomes(batch, step) if each["digest"] and not each["cached"]]
        assert len(made) == 1, (step, outcomes(batch, step))
    assert batch.unfinished_jobs() == []
    assert batch.run("verify").returncode == 0
