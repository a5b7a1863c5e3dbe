"""How jobs of Slurm end, or never start: each in a sentence that says what to do, and then done."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from slurm_cluster import FOLDER, NODES, SLURM_TOML, SlurmCommands, until

JOBS = ("--runtime", "slurm")
SEVERAL_SECONDS = ("--set", "dataset.drawn.train=4000")


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command that was refused says, in one line."""
    assert done.returncode not in (0, 130), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stderr.split())


def finishes(batch: SlurmCommands, *words: str) -> str:
    done = batch.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('partition = "nowhere"', "there is no partition 'nowhere'"),
        ('account = "nobody"', "account = 'nobody': Slurm does not let this user use it"),
        ('qos = "best"', "qos = 'best': Slurm does not let this user use it"),
        ('options = ["--constraint=a100"]', "no node has what its --constraint asks for"),
        ('memory = "900G"', "memory = '900G': no node has so much"),
    ],
)
def test_what_slurm_refuses_names_its_setting(batch: SlurmCommands, toml: str, says: str) -> None:
    batch.with_toml(toml)
    said = refusal(batch.run("dataset", *JOBS))
    assert says in said
    assert "slurm.toml" in said
    assert batch.idle()


def test_a_job_over_its_memory(batch: SlurmCommands) -> None:
    batch.with_toml(SLURM_TOML + 'memory = "30M"')
    said = refusal(batch.run("dataset", *JOBS))
    if (FOLDER / "cgroup.conf").exists():
        assert "used more memory than the 30M it asked for (OUT_OF_MEMORY)" in said
        assert "raise memory in" in said
    else:
        assert "xceeded" in said
    batch.with_toml(SLURM_TOML)
    finishes(batch, "dataset", *JOBS)


def test_a_job_that_somebody_cancels(batch: SlurmCommands) -> None:
    process = batch.start("dataset", *JOBS, *SEVERAL_SECONDS)
    job, _ = until("a running job", lambda: batch.running("dataset"), process=process)
    batch.cluster.ask("scancel", job)
    said = " ".join(process.communicate(timeout=300)[0].split())
    assert f"dataset: job {job} was cancelled" in said
    assert process.returncode not in (0, 130)
    finishes(batch, "dataset", *JOBS)


def test_a_job_that_slurm_ends_by_its_time(batch: SlurmCommands) -> None:
    """One in which nothing of ours has begun by then, so that nobody hears the notice before."""
    batch.with_toml('partition = "short"\nbefore = ["sleep 300"]')
    said = refusal(batch.run("dataset", *JOBS))
    assert re.search(
        r"dataset: job \d+ on node n\d was ended by its time limit of 00:01:00", said
    ), said
    assert "raise time in" in said
    batch.with_toml(SLURM_TOML)
    finishes(batch, "dataset", *JOBS)


def test_drained_nodes_are_told_and_waited_for(batch: SlurmCommands) -> None:
    with batch.cluster.drained(*NODES):
        process = batch.start("dataset", *JOBS)
        heard = until_said(process, "waits")
        assert "down, drained or reserved" in heard
    rest = process.communicate(timeout=600)[0]
    assert process.returncode == 0, rest


def test_a_node_that_does_not_see_the_store(batch: SlurmCommands, tmp_path: Path) -> None:
    batch.with_toml(SLURM_TOML + 'options = ["--nodelist=n3"]')
    with batch.cluster.blind_node("n3", tmp_path):
        said = refusal(batch.run("dataset", *JOBS))
    assert "node n3 does not see" in said
    assert str(tmp_path) in said
    batch.with_toml(SLURM_TOML)
    finishes(batch, "dataset", *JOBS)


def test_a_node_that_does_not_see_the_cache(batch: SlurmCommands) -> None:
    cache = Path(os.environ.get("MMDET_JETSON_CACHE", Path.home() / ".cache/mmdet-jetson"))
    batch.with_toml(SLURM_TOML + 'options = ["--nodelist=n3"]')
    with batch.cluster.blind_node("n3", cache.parent):
        said = refusal(batch.run("dataset", *JOBS))
    assert f"node n3 does not see {cache}" in said


def test_a_config_edited_before_the_job_starts(batch: SlurmCommands) -> None:
    with batch.cluster.drained(*NODES):
        done = batch.run("dataset", *JOBS, "--detach")
        assert done.returncode == 0, done.stderr
        batch.config.write_text(batch.config.read_text().replace("train = 8", "train = 9"))
    said = refusal(batch.run("attach"))
    assert "dataset: parameter" in said
    assert "changed since submission" in said


def test_ctrl_c_detaches_or_cancels(batch: SlurmCommands) -> None:
    with batch.cluster.drained(*NODES):
        assert "goes on" in interrupted(batch, ("dataset", *JOBS))
        assert len(waiting(batch)) == 1
        batch.with_toml(SLURM_TOML + 'on_interrupt = "cancel"')
        assert "cancelled submission" in interrupted(batch, ("attach",))
        until("the end of the jobs", batch.idle, 30)
        assert batch.run("dataset", *JOBS, "--detach").returncode == 0
        assert len(waiting(batch)) == 1
        assert "cancelled dataset" in finishes(batch, "cancel")
        until("the end of the jobs", batch.idle, 30)


def waiting(batch: SlurmCommands) -> list[str]:
    return [job for job, (state, _) in batch.jobs().items() if state == "PENDING"]


def interrupted(batch: SlurmCommands, words: Sequence[str]) -> str:
    """Press Ctrl-C once a command follows its job, and give what it says then."""
    process = batch.start(*words)
    said = until_said(process, "submission ")
    os.killpg(process.pid, signal.SIGINT)
    said += process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    return said


def until_said(process: "subprocess.Popen[str]", *words: str) -> str:
    """Read what a command says up to the line by which it has said all of the words."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if all(word in said for word in words):
            return said
    raise AssertionError(f"it never said all of {words}: {said}")
