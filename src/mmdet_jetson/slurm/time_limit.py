"""What a job does when its time is nearly up: it asks for more, if that leads anywhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mmdet_jetson.contract.job import WORK


class TimeIsUp(BaseException):
    """Slurm says that the time of this job is up soon. No stage may take it for an error."""


class Ended(BaseException):
    """Slurm ends this job: somebody cancelled it, or it makes room, or its time is up."""


@contextmanager
def listening() -> Iterator[None]:
    """Turn Slurm's signals into exceptions of the main thread.

    Behind it the time no longer counts, but that the job is ended still does: until the process
    is gone, whatever it tells would be told of a job that goes on, or that somebody cancelled.
    """

    def up(_number: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Ended

    signal.signal(signal.SIGUSR1, up)
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def checkpoints(job_folder: Path) -> frozenset[str]:
    """What a training could go on from: every epoch that is kept adds a name."""
    return frozenset(path.name for path in (job_folder / WORK).rglob("*.pth"))
