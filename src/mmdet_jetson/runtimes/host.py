"""The host runtime: an environment is a virtual environment of this machine."""

import json
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mmdet_jetson.environments import (
    Environment,
    deploy_environment,
    jetpack_environment,
    python_of,
    rtx_environment,
    train_environment,
)
from mmdet_jetson.errors import UserError
from mmdet_jetson.jetpack import this_machine
from mmdet_jetson.processes import run_logged, tail
from mmdet_jetson.settings import Settings

SOURCE = Path(__file__).resolve().parents[2]
NO_ROOM = 1 << 20  # bytes
# OpenMP's threads wait for each other in a busy loop. Beside other busy processes they wait mostly
# for a core: a training step that takes 0.2 s alone then takes over 4 s. With a shorter loop it
# takes 0.6 s there, and still 0.2 s alone (2 cores, RTMDet-tiny).
SPIN_COUNT = "3000"


class Progress(msgspec.Struct, frozen=True):
    """How far a stage is: ``step`` of ``total``, and the numbers it shows on the way."""

    step: int
    total: int
    label: str = ""
    metrics: dict[str, float | None] = {}


class StageResult(msgspec.Struct, frozen=True):
    """``result.json``: what a stage said about its outputs."""

    metrics: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    warnings: list[str] = []


class StageFailed(UserError):
    """A stage ended without a result; its own sentence where it had one."""


class HostRuntime:
    """Runs stages as processes of this machine, each in the Python of its environment."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = print) -> None:
        self.settings = settings
        self.say = say
        self.machine = this_machine()
        root, jetpack = settings.root, self.machine.jetpack
        self.environments: dict[str, Environment] = {
            "train": train_environment(root, settings.variant),
            "deploy": jetpack_environment(root, jetpack) if jetpack else deploy_environment(root),
            "deploy-rtx": rtx_environment(root),
        }

    def identity(self, environment: str) -> str:
        """What a cache key needs to know of an environment."""
        return self.environments[environment].identity

    def device(self) -> str:
        """Name the processor and the number of cores."""
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return f"{models[0] if models else platform.processor()} x {os.cpu_count()}"

    def prepare(self, environment: str) -> Path:
        """Build the environment if it is missing, which takes minutes; return its Python."""
        return python_of(self.environments[environment], self.settings, self.say)

    def run(
        self,
        stage: str,
        environment: str,
        job: Path,
        on_progress: Callable[[Progress], None],
        *,
        keep_open: Sequence[int] = (),
    ) -> StageResult:
        """Run a stage on a job folder and read its result.

        Raises:
            StageFailed: there is no ``result.json``, whatever the exit code.
        """
        python = self.prepare(environment)
        log = job / "log.txt"
        code = run_logged(
            [str(python), "-m", f"mmdet_jetson.stages.{stage}", str(job)],
            log,
            env=_environ(self.settings.cache),
            cwd=job,
            on_line=lambda line: _progress(line, log, on_progress),
            keep_open=keep_open,
        )
        if (job / "result.json").exists():
            return msgspec.json.decode((job / "result.json").read_bytes(), type=StageResult)
        raise _failure(stage, code, job, log)


def _environ(cache: Path) -> dict[str, str]:
    """The machine's environment without what would make two runs differ or leave traces.

    Matplotlib searches the machine for fonts, which takes a second, and remembers what it found.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        "GOMP_SPINCOUNT": SPIN_COUNT,
        **kept,
        "PYTHONPATH": str(SOURCE),
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(cache / "matplotlib"),
        "MMDET_JETSON_WATCH_STDIN": "1",
    }


def _progress(line: str, log: Path, on_progress: Callable[[Progress], None]) -> None:
    try:
        on_progress(msgspec.json.decode(line, type=Progress))
    except msgspec.DecodeError:
        with log.open("a") as stream:
            stream.write(line)


def _failure(stage: str, code: int, job: Path, log: Path) -> StageFailed:
    said = job / "failure.json"
    if said.exists():
        failure = json.loads(said.read_text())
        return StageFailed(f"{stage}: {failure['message']}", failure["hint"])
    if code == -9:
        return StageFailed(
            f"{stage}: the process was killed, most often because memory ran out",
            f"lower train.batch_size or train.workers; the log is {log}",
        )
    if shutil.disk_usage(job).free < NO_ROOM:
        # A stage cannot leave a sentence on a full disk, and libraries word this in many ways.
        return StageFailed(
            f"{stage}: the disk is full: {job.parent}", "free some space and run again"
        )
    last = tail(log)
    return StageFailed(
        f"{stage}: ended with exit code {code}; its last words:\n{last}", f"read {log}"
    )
