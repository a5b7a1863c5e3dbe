"""A run that is killed at any moment costs time, never a wrong or a lost result."""

import contextlib
import os
import random
import signal
import subprocess
import time

from commands import Commands

KILLS = 20


def kill_group(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ended(done: "subprocess.CompletedProcess[str]") -> bool:
    """Tell whether a run came to its verdict, which after so short a training can be one thing only.

    Some seeds teach a detector to detect nothing, and no proof of that passes.
    """
    return done.returncode == 0 or (
        done.returncode == 3 and "neither it nor the checkpoint detects anything" in done.stderr
    )


def settings(seed: int) -> list[str]:
    return ["--set", f"train.seed={seed}", "--set", "train.epochs=2"]


def test_a_killed_run_is_taken_up_again(commands: Commands) -> None:
    """Kill the whole pipeline again and again; each rerun of the same settings gets further."""
    began = time.monotonic()
    whole = commands.run("pipeline", "--set", "train.seed=1000")
    assert ended(whole), whole.stderr
    seconds = time.monotonic() - began
    chance = random.Random(0)
    for kill in range(KILLS):
        process = commands.start("pipeline", *settings(kill // 4))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.2, seconds))
        kill_group(process)
    for seed in range(KILLS // 4):
        done = commands.run("pipeline", *settings(seed))
        assert ended(done), done.stderr
    assert commands.unfinished_jobs() == []
    verified = commands.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
