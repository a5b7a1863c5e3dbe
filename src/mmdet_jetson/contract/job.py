"""A job: what a runtime lays out in a folder for a stage, and what the stage leaves there.

::

    job.json       the `Job`, written by the host side
    inputs/        what the stage reads, unless an input lies elsewhere
    output/        what it makes
    work/          its scratch folder, which outlives a killed run
    log.txt        everything that it and its libraries print
    result.json    a `Result`, written last: without it the stage has failed
    failure.json   a `Failure`, where the stage had a sentence for the user

Standard output carries `Progress`, a line of JSON each; everything else is for the log.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from mmdet_jetson.contract.records import ContractError, decode, encode, read_record, write_record

JOB, RESULT, FAILURE, LOG = "job.json", "result.json", "failure.json", "log.txt"
INPUTS, OUTPUT, WORK = "inputs", "output", "work"
MODULES = "mmdet_jetson.stages"
EVENT_FILES = "tensorboard"
"""The folder of a checkpoint with what TensorBoard shows of its training."""


@dataclass(frozen=True)
class ArtifactSummary:
    """What a report says of an artifact's origin.

    ``created`` is RFC 3339, in UTC; ``seconds`` is how long it took, ``size`` is in bytes.
    ``inputs`` are the digests of what it was made from.
    """

    step: str
    kind: str
    digest: str
    created: str
    environment: str
    commit: str
    seconds: float
    size: int
    warnings: Tuple[str, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One run of one stage. Paths are relative to the job's folder, or absolute.

    ``parameters`` is the encoded type that belongs to the stage. ``evidence`` says how near to its
    target the result is taken: measured or emulated, where need be with
    "stand-in base" behind it; it is empty where that means nothing.
    ``artifacts`` are those of the steps before, for a stage that reports on them.
    """

    stage: str
    parameters: Mapping[str, object]
    inputs: Mapping[str, str]
    evidence: str = ""
    artifacts: Tuple[ArtifactSummary, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """What a training records as it goes, for whoever watches it from outside.

    ``figures`` are those of an ``epoch``, by MMDetection's names. ``content`` is what was written
    to the TensorBoard file ``file`` from byte ``offset`` on, in base64. ``begins`` tells that a
    training starts anew: what was recorded of it before is of no more use.
    """

    epoch: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    file: str = ""
    offset: int = 0
    content: str = ""
    begins: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a stage is: ``step`` of ``total``, and the numbers it shows on the way."""

    step: int
    total: int
    label: str = ""
    metrics: Mapping[str, Optional[float]] = field(default_factory=dict)
    recorded: Optional[Recorded] = None


@dataclass(frozen=True)
class Result:
    """What a stage says about its output; it becomes the provenance of the artifact.

    ``metrics`` are numbers worth comparing, ``facts`` describe the environment (versions, device),
    ``warnings`` are sentences the user should read.
    """

    metrics: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    warnings: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """What the user has to mend: what is wrong and where, and what to try."""

    message: str
    hint: str = ""


def write_job(folder: Path, job: Job) -> None:
    """Write a job into its folder."""
    write_record(folder / JOB, job)


def read_job(folder: Path) -> Job:
    """Read the job of a folder."""
    return read_record(folder / JOB, Job)


def write_result(folder: Path, result: Result) -> None:
    """Leave a result in a job's folder: the stage has succeeded."""
    write_record(folder / RESULT, result)


def read_result(folder: Path) -> Optional[Result]:
    """Read the result in a job's folder; None where the stage has left none."""
    return read_record(folder / RESULT, Result) if (folder / RESULT).exists() else None


def write_failure(folder: Path, failure: Failure) -> None:
    """Leave a sentence for the user in a job's folder."""
    write_record(folder / FAILURE, failure)


def read_failure(folder: Path) -> Optional[Failure]:
    """Read the sentence in a job's folder; None where the stage has left none."""
    return read_record(folder / FAILURE, Failure) if (folder / FAILURE).exists() else None


def progress_line(progress: Progress) -> str:
    """Spell progress as a line of a stage's standard output."""
    return json.dumps(encode(progress))


def parse_progress(line: str) -> Optional[Progress]:
    """Read a line of a stage's standard output; None where it is anything else."""
    try:
        content: Dict[str, object] = json.loads(line)
        return decode(Progress, content)
    except (ContractError, ValueError, RecursionError):
        return None


def stage_module(stage: str) -> str:
    """Name the module to start: ``python -m MODULE FOLDER``."""
    return f"{MODULES}.{stage}"
