"""Trainings that a cluster interrupts: told in a sentence, and finished with every epoch."""

import itertools
import os
import re
import signal
import time
from collections.abc import Callable

from slurm_cluster import SLURM_TOML, SlurmCommands, until
from test_slurm_endings import JOBS, refusal, until_said

KEPT_EVERY = 4
"""Epochs between two checkpoints of the tests' training."""
TWO_NODES = ("--set", "train.nodes=2")
DEATH_IS_TOLD = 30.0
"""Seconds from the death of one process to the end of the command."""


def more_epochs(batch: SlurmCommands) -> Callable[[], bool]:
    """Whether an epoch more is kept than is now."""
    kept = batch.epochs_kept()
    return lambda: batch.epochs_kept() > kept


def training(epochs: int) -> tuple[str, ...]:
    return ("train", *JOBS, "--set", f"train.epochs={epochs}")


def test_a_training_outlives_what_a_cluster_does_to_it(checked_batch: SlurmCommands) -> None:
    """Cancelled, put back in the queue, preempted, its node gone, out of time: it goes on."""
    batch, epochs = checked_batch, 6 * KEPT_EVERY
    process = batch.start(*training(epochs))
    job, _ = until("a training", lambda: batch.running("train"), process=process)
    until("a checkpoint", more_epochs(batch), process=process)
    batch.cluster.ask("scancel", job)
    said = " ".join(process.communicate(timeout=300)[0].split())
    assert f"train: job {job} was cancelled" in said
    kept = batch.epochs_kept()
    assert kept

    batch.with_toml(SLURM_TOML + 'partition = "idle"')
    process = batch.start(*training(epochs))
    job, node = until("a training", lambda: batch.running("train"), process=process)
    until("a checkpoint", more_epochs(batch), process=process)
    batch.cluster.ask("scontrol", "requeue", job)
    heard = until_said(process, f"job {job} is in the queue again", "started again on node")

    job, node = until("a training", lambda: batch.running("train"), process=process)
    until("a checkpoint", more_epochs(batch), process=process)
    batch.cluster.preempt()
    heard += until_said(process, "again: it had to make room", "started again on node")

    job, node = until("a training", lambda: batch.running("train"), process=process)
    until("a checkpoint", more_epochs(batch), process=process)
    batch.cluster.kill_node(node)
    heard += until_said(process, "again: its node failed", "started again on node")
    batch.cluster.heal()

    job, node = until("a training", lambda: batch.running("train"), process=process)
    until("a checkpoint", more_epochs(batch), process=process)
    batch.cluster.ask("scancel", "--batch", "--signal=USR1", job)  # as before the end of its time
    heard += until_said(process, "it goes back in the queue")
    heard += process.communicate(timeout=900)[0]
    assert process.returncode == 0, heard
    first, second = batch.epochs_told()
    assert first[0] == 1
    assert second[0] == kept + 1
    assert second[-1] == epochs
    for before, epoch in itertools.pairwise(second):  # what was not kept yet is trained again
        assert epoch == before + 1 or (epoch % KEPT_EVERY == 1 and epoch > before - KEPT_EVERY)
    assert batch.unfinished_jobs() == []

    # What a job made is what this machine would make.
    host = batch.run("train", "--set", f"train.epochs={epochs}")
    assert host.returncode == 0, host.stderr
    assert "done in" not in host.stdout


def test_a_time_limit_too_short_for_an_epoch(checked_batch: SlurmCommands) -> None:
    """The limit of the partition is a minute, of which Slurm gives notice; an epoch takes longer."""
    batch = checked_batch
    batch.with_toml('[steps.train]\npartition = "short"')
    long_epochs = ("--set", "dataset.drawn.train=4000")
    said = refusal(batch.run(*training(KEPT_EVERY), *long_epochs))
    assert "train: the time limit of 00:01:00 is too short for one epoch" in said
    assert "raise time in" in said


def test_a_process_of_two_nodes_dies(checked_batch: SlurmCommands) -> None:
    batch, epochs = checked_batch, 2 * KEPT_EVERY
    process = batch.start(*training(epochs), *TWO_NODES)
    job, _ = until("a training", lambda: batch.running("train"), process=process)
    rank = until("the second process", lambda: batch.cluster.rank(1, job), process=process)
    until("a checkpoint", more_epochs(batch), process=process)
    os.kill(rank, signal.SIGKILL)
    began = time.monotonic()
    said = " ".join(process.communicate(timeout=900)[0].split())
    assert time.monotonic() - began < DEATH_IS_TOLD
    assert re.search(r"train: process 1, on node n\d, died: killed", said), said
    assert process.returncode not in (0, 130)
    kept = batch.epochs_kept()

    done = batch.run(*training(epochs), *TWO_NODES)
    assert done.returncode == 0, done.stdout + done.stderr
    _, rerun = batch.epochs_told()
    assert rerun == [*range(kept + 1, epochs + 1)]


def test_two_nodes_take_a_divisible_batch(batch: SlurmCommands) -> None:
    batch.with_toml(SLURM_TOML)
    said = refusal(batch.run("train", *JOBS, *TWO_NODES, "--set", "train.batch_size=3"))
    assert "batch_size" in said
    assert batch.jobs() == {}
