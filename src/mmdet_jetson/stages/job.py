"""A stage as a program: read a job, report progress, leave a result.

What travels is `mmdet_jetson.contract.job`'s business; this is the side of it that runs inside an
environment.
"""

import errno
import os
import signal
import sys
import threading
import traceback
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
    read_failure,
    read_job,
    write_failure,
    write_result,
)
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.process import LOST, RANK_LOGS, TASKS, WATCH_STDIN, rank_log
from mmdet_jetson.contract.records import decode
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.place import Place, has_lost_others, place_of

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
    """Run a stage as a program: ``python -m mmdet_jetson.stages.<name> <job folder>``.

    Where several processes share it out, the first alone reports and leaves the result; each may
    leave the sentence about what the user has to mend.
    """
    folder = Path(sys.argv[1]).resolve()
    end_with_parent()
    place = place_of()
    job = StageJob.load(folder, parameters, _channel(place, folder))
    try:
        result = run(job)
    except StageError as error:
        _leave(folder, Failure(error.message, error.hint))
        print(f"failed: {error.message}", file=sys.stderr)
        sys.exit(FAILED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"the disk is full: {error.filename or folder}"
        _leave(folder, Failure(message, "free some space and run again"))
        sys.exit(FAILED)
    except RuntimeError as error:
        if place.world == 1 or not has_lost_others(error):
            raise
        traceback.print_exc()
        sys.stderr.flush()
        # What waits for the others in the libraries' threads would keep this process alive.
        os._exit(LOST)
    if place.leads:
        write_result(folder, result)


def _leave(folder: Path, failure: Failure) -> None:
    """Write what is wrong, unless another process of the stage has: the others only follow."""
    if read_failure(folder) is None:
        write_failure(folder, failure)


def _channel(place: Place, folder: Path) -> TextIO:
    """Give where progress goes, which is nowhere for all processes but the first."""
    if place.leads:
        return _split_streams()
    if os.environ.get(TASKS) == "1":
        logs = folder / WORK / RANK_LOGS
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / rank_log(place.rank)).open("w") as log:
            os.dup2(log.fileno(), 2)
    os.dup2(2, 1)
    return Path(os.devnull).open("w")


def _split_streams() -> TextIO:
    """Keep standard output for progress alone: what anything else prints becomes log."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def end_with_parent() -> None:
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
