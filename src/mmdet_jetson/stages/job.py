"""The stage contract, seen from inside: read a job, report progress, leave a result.

A runtime starts ``python -m mmdet_jetson.stages.<name> <job folder>``. The folder holds
``job.json``; the stage fills its output folders and writes ``result.json`` last. Without that
file the stage has failed, whatever its exit code; ``failure.json`` then holds the sentence for
the user, if the stage had one. Standard output carries progress as JSON lines; everything that
libraries print goes to standard error, which is the log.
"""

import errno
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, TextIO

FAILED = 3


class StageError(Exception):
    """What the user has to mend: what is wrong, where, and what to try."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Result:
    """What a stage says about its outputs; it becomes the provenance of the artifact.

    ``metrics`` are numbers worth comparing, ``facts`` describe the environment (versions, device),
    ``warnings`` are sentences the user should read.
    """

    metrics: Dict[str, Any] = field(default_factory=dict)
    facts: Dict[str, Any] = field(default_factory=dict)
    warnings: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One run of one stage: parameters, read-only input folders, output folders, a scratch folder.

    ``work`` outlives a killed run, so that the stage can resume from what it finds there.
    """

    stage: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    work: Path
    channel: TextIO = field(default=sys.stdout, compare=False)

    @classmethod
    def load(cls, folder: Path, channel: Optional[TextIO] = None) -> "Job":
        """Read ``job.json`` of a job folder; relative paths in it are relative to that folder."""
        raw = json.loads((folder / "job.json").read_text())
        return cls(
            stage=raw["stage"],
            parameters=raw["parameters"],
            inputs={name: folder / path for name, path in raw["inputs"].items()},
            outputs={name: folder / path for name, path in raw["outputs"].items()},
            work=folder / raw["work"],
            channel=channel or sys.stdout,
        )

    def progress(self, step: int, total: int, label: str = "", **metrics: float) -> None:
        """Tell the runtime how far the stage is: ``step`` of ``total`` are done."""
        line = {"step": step, "total": total, "label": label, "metrics": metrics}
        print(json.dumps(line), file=self.channel, flush=True)


def main(run: Callable[[Job], Result]) -> None:
    """Run a stage as a program: ``python -m mmdet_jetson.stages.<name> <job folder>``."""
    folder = Path(sys.argv[1]).resolve()
    _end_with_parent()
    job = Job.load(folder, _split_streams())
    try:
        result = run(job)
    except StageError as error:
        _write(folder / "failure.json", {"message": error.message, "hint": error.hint})
        print(f"failed: {error.message}", file=sys.stderr)
        sys.exit(FAILED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"the disk is full: {error.filename or folder}"
        _write(
            folder / "failure.json", {"message": message, "hint": "free some space and run again"}
        )
        sys.exit(FAILED)
    _write(folder / "result.json", asdict(result))


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
    if os.environ.get("MMDET_JETSON_WATCH_STDIN") != "1":
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".partial")
    with temporary.open("w") as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(path)
