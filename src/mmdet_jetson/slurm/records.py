"""What a submission leaves in its folder, ``STORE/slurm/ID``, for jobs and for whoever attaches.

::

    submission.json             the `Submission`
    complete                    there once all was submitted that could be
    STEP.step.json              a `Planned` step, written before its job is submitted
    STEP.sh                     its batch script
    STEP.job                    the number of its job
    STEP-JOB.log                what the job printed
    STEP-JOB.events             an `Event` a line, as it goes
    STEP-JOB.outcome.json       the `Outcome`, last
"""

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import remove

FOLDER = "slurm"
LOCK = "submit.lock"
"""In that folder: whoever submits holds it, so that what one submits the next one finds."""
NAME_PREFIX = "mmdet-"


class Ending(msgspec.Struct, frozen=True):
    """How the command goes on once its artifacts are made: a name of it, and what it was told."""

    command: str
    told: dict[str, str] = msgspec.field(default_factory=dict)


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A command whose steps are batch jobs.

    ``request`` is what it was asked for, encoded; ``again`` names the steps that are made even if
    they are known. ``batch`` are those steps of the plan that are for Slurm, ``prints`` of all
    steps what `prints.fingerprints` gives. ``created`` is RFC 3339.
    """

    id: str
    created: str
    run: str
    ending: Ending
    request: dict[str, object]
    again: list[str]
    batch: list[str]
    prints: dict[str, str]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is to make, and what it was to be made from when it was submitted.

    ``artifacts`` are digests of results that were known then, ``outcomes`` the files in which the
    jobs before tell theirs: both by step. ``folder`` is that of another submission whose job makes
    this step; empty where it is this one's.
    """

    step: str
    print: str
    parts: dict[str, str]
    artifacts: dict[str, str]
    outcomes: dict[str, str]
    folder: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a job tells while it runs: what, and its text or its `Progress`."""

    what: str
    text: str = ""
    progress: dict[str, object] = msgspec.field(default_factory=dict)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The sentence of a job that failed; ``of_stage`` tells that its stage ran and refused.

    ``killed`` tells that its stage was killed, of which Slurm may know why.
    """

    message: str
    hint: str = ""
    of_stage: bool = False
    killed: bool = False
    exit_code: int = 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended: with an artifact, left out, or with a failure."""

    job: str
    node: str
    digest: str = ""
    cached: bool = False
    left_out: str = ""
    failure: Failure | None = None


def new_id() -> str:
    """Name a submission by the time, so that the newest is last; one is made at a time."""
    now = datetime.now(timezone.utc)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 100:04}"


class Folder:
    """The folder of one submission."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """The submission that it is of."""
        return self.path.name

    def job_name(self, step: str) -> str:
        """What Slurm calls the job of a step, by which it is found where its number is unknown."""
        return f"{NAME_PREFIX}{self.id}.{step}"

    def write_submission(self, submission: Submission) -> None:
        """Write what was asked for; before any job is submitted."""
        self.path.mkdir(parents=True)
        write_whole(self.path / "submission.json", msgspec.json.encode(submission))

    def submission(self) -> Submission:
        """Read what was asked for.

        Raises:
            UserError: it cannot be read, as where another release wrote it.
        """
        path = self.path / "submission.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Submission)
        except (OSError, msgspec.DecodeError) as error:
            raise UserError(
                f"the submission {self.id} cannot be read: {error}",
                f"look at its jobs with squeue, and remove {self.path}",
            ) from error

    @property
    def is_complete(self) -> bool:
        """Whether all was submitted that could be: the client was not killed before."""
        return (self.path / "complete").exists()

    def completed(self) -> None:
        """Write down that all was submitted that could be."""
        (self.path / "complete").touch()

    def write_planned(self, planned: Planned) -> None:
        """Write what a job is to make; before it is submitted."""
        (self.path / f"{planned.step}.job").unlink(missing_ok=True)
        write_whole(self.path / f"{planned.step}.step.json", msgspec.json.encode(planned))

    def planned(self, step: str) -> Planned | None:
        """Read what a step's job is to make; None where it has none in this submission."""
        with suppress(FileNotFoundError):
            content = (self.path / f"{step}.step.json").read_bytes()
            return msgspec.json.decode(content, type=Planned)
        return None

    def planned_steps(self) -> Iterator[Planned]:
        """All that jobs of this submission are to make."""
        for path in sorted(self.path.glob("*.step.json")):
            yield msgspec.json.decode(path.read_bytes(), type=Planned)

    def write_job(self, step: str, job: str) -> None:
        """Write down a step's job."""
        write_whole(self.path / f"{step}.job", job.encode())

    def job(self, step: str) -> str:
        """The number of a step's job; empty where it was never written down."""
        with suppress(FileNotFoundError):
            return (self.path / f"{step}.job").read_text()
        return ""

    def script(self, step: str) -> Path:
        """The batch script of a step."""
        return self.path / f"{step}.sh"

    def log(self, step: str, job: str) -> Path:
        """What a step's job printed; ``%j`` for its number, as sbatch takes it."""
        return self.path / f"{step}-{job}.log"

    def events(self, step: str, job: str) -> Path:
        """What a step's job tells while it runs."""
        return self.path / f"{step}-{job}.events"

    def outcome_file(self, step: str, job: str) -> Path:
        """How a step's job ended."""
        return self.path / f"{step}-{job}.outcome.json"

    def write_outcome(self, step: str, outcome: Outcome) -> None:
        """Write how a job ended; the last thing that it does."""
        write_whole(self.outcome_file(step, outcome.job), msgspec.json.encode(outcome))


def read_outcome(path: Path) -> Outcome | None:
    """Read how a job ended; None while it has not told."""
    with suppress(FileNotFoundError):
        return msgspec.json.decode(path.read_bytes(), type=Outcome)
    return None


def folders(store: Path) -> list[Folder]:
    """The submissions of a store, the newest last."""
    found = (store / FOLDER).glob("*/submission.json")
    return [Folder(path.parent) for path in sorted(found)]


def sweep(store: Path, live: Collection[str], days: float) -> None:
    """Remove the folders of submissions older than so many days that have no jobs any more."""
    for folder in folders(store):
        age = time.time() - folder.path.stat().st_mtime
        if folder.id not in live and age > days * 86400:
            remove(folder.path)
