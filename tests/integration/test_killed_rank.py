"""`invoke train` with several processes: one that dies is told, and what was trained is not lost."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from commands import Commands

MODULE = b"mmdet_jetson.stages.train"
MOST_SECONDS = 30
SHARED = ["--set", "train.processes=2", "--set", "train.epochs=6"]
EVERY_EPOCH = ["--set", "train.overrides.default_hooks.checkpoint.interval=1"]


def ranks(commands: Commands) -> dict[str, int]:
    """The processes of this store's training that run, by their ranks."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            variables = (folder / "environ").read_bytes().split(b"\0")
            if MODULE in words and str(commands.artifacts).encode() in words:
                rank = next((each[5:] for each in variables if each.startswith(b"RANK=")), b"all")
                found[rank.decode()] = int(folder.name)
    return found


def wait_for_epoch(commands: Commands, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 600
    # MMEngine names a checkpoint there when it is whole.
    while not list(commands.artifacts.glob("jobs/train-*/work/last_checkpoint")):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_killed_rank_is_told_and_a_rerun_goes_on(commands: Commands) -> None:
    words = ["train", *SHARED, *EVERY_EPOCH]
    process = commands.start(*words)
    wait_for_epoch(commands, process)
    found = ranks(commands)
    assert set(found) == {"0", "1", "all"}
    os.kill(found["1"], signal.SIGKILL)
    told, _ = process.communicate(timeout=MOST_SECONDS)
    assert process.returncode == 1
    assert "rank 1, one of its 2 processes, ended with signal SIGKILL" in told
    assert "Traceback" not in told
    assert ranks(commands) == {}

    # Without who started it no process survives either.
    process = commands.start(*words)
    until = time.monotonic() + 120
    while "1" not in ranks(commands) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + MOST_SECONDS
    while ranks(commands) and time.monotonic() < until:
        time.sleep(0.05)
    assert ranks(commands) == {}

    done = commands.run(*words)
    assert done.returncode == 0, done.stderr
    assert re.search(r" epoch [2-6]/6 loss", done.stderr)
    assert " epoch 1/6 loss" not in done.stderr, "not from the first epoch on"
    alone = commands.run("train", "--set", "train.epochs=6", *EVERY_EPOCH)
    assert re.search(r"✓ train +cached", alone.stderr), "the same training"
