"""The stage contract, seen from outside: lines of progress, then a result or a failure."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import tail

NO_ROOM = 1 << 20  # bytes
KILLED = (-9, 137)  # by signal 9: as Python and as a container's engine spell it


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


def hear(line: str, log: Path, on_progress: Callable[[Progress], None]) -> None:
    """Take one line of a stage's output: progress, or words for the log."""
    try:
        on_progress(msgspec.json.decode(line, type=Progress))
    except msgspec.DecodeError:
        with log.open("a") as stream:
            stream.write(line)


def outcome(stage: str, code: int, job: Path) -> StageResult:
    """Read what a stage that ended left in its job folder.

    Raises:
        StageFailed: there is no ``result.json``, whatever the exit code.
    """
    if (job / "result.json").exists():
        return msgspec.json.decode((job / "result.json").read_bytes(), type=StageResult)
    raise _failure(stage, code, job, job / "log.txt")


def _failure(stage: str, code: int, job: Path, log: Path) -> StageFailed:
    said = job / "failure.json"
    if said.exists():
        failure = json.loads(said.read_text())
        return StageFailed(f"{stage}: {failure['message']}", failure["hint"])
    if code in KILLED:
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
