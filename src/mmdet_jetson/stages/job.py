"""A stage as a program: read a job, report progress, leave a result.

What travels is `mmdet_jetson.contract.job`'s business; this is the side of it that runs inside an
environment.
"""

import errno
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Generic, Mapping, Optional, TextIO, Tuple, Type, TypeVar

from mmdet_jetson.contract.job import (
    OUTPUT,
    WORK,
    ArtifactSummary,
    Failure,
    Progress,
    Recorded,
    Result,
    progress_line,
    read_job,
    write_failure,
    write_result,
)
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.process import WATCH_STDIN
from mmdet_jetson.contract.records import decode
from mmdet_jetson.stages.errors import StageError

FAILED = 3
P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class StageJob(Generic[P]):
    """One run of one stage: parameters, read-only input folders, an output and a scratch folder.

    ``work`` outlives a killed run, so that the stage can resume from what it finds there.
    """

    parameters: P
    inputs: Mapping[str, Path]
    output: Path
    work: Path
    evidence: str = ""
    artifacts: Tuple[ArtifactSummary, ...] = ()
    channel: TextIO = field(default=sys.stdout, compare=False)

    @classmethod
    def load(
        cls, folder: Path, parameters: Type[P], channel: Optional[TextIO] = None
    ) -> "StageJob[P]":
        """Read ``job.json`` of a job's folder."""
        job = read_job(folder)
        return cls(
            parameters=decode(parameters, job.parameters, "parameters"),
            inputs={name: folder / path for name, path in job.inputs.items()},
            output=folder / OUTPUT,
            work=folder / WORK,
            evidence=job.evidence,
            artifacts=job.artifacts,
            channel=channel or sys.stdout,
        )

    def record(self, recorded: Recorded, step: int, total: int, label: str = "") -> None:
        """Tell the runtime what a training records; it is as far as it was."""
        line = progress_line(Progress(step, total, label, recorded=recorded))
        print(line, file=self.channel, flush=True)

    def progress(self, step: int, total: int, label: str = "", **metrics: float) -> None:
        """Tell the runtime how far the stage is: ``step`` of ``total`` are done."""
        print(progress_line(Progress(step, total, label, metrics)), file=self.channel, flush=True)


def main(run: Callable[[StageJob[P]], Result], parameters: Type[P]) -> None:
    """Run a stage as a program: ``python -m mmdet_jetson.stages.<name> <job folder>``."""
    folder = Path(sys.argv[1]).resolve()
    _end_with_parent()
    job = StageJob.load(folder, parameters, _split_streams())
    try:
        result = run(job)
    except StageError as error:
        write_failure(folder, Failure(error.message, error.hint))
        print(f"failed: {error.message}", file=sys.stderr)
        sys.exit(FAILED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"the disk is full: {error.filename or folder}"
        write_failure(folder, Failure(message, "free some space and run again"))
        sys.exit(FAILED)
    write_result(folder, result)


def _split_streams() -> TextIO:
    """Keep standard output for progress alone: what anything else prints becomes log."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def _end_with_parent() -> None:
    """End this process and its workers when standard input closes: the runtime is gone.

    A runtime that is killed cannot stop its stage, so the stage watches the pipe to it. Where
    nothing holds a pipe (a person at a terminal, /dev/null) there is no parent to outlive.
    """
    if os.environ.get(WATCH_STDIN) != "1":
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
