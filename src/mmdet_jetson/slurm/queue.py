"""What Slurm tells of this user's jobs, asked for rarely, whoever wants to know."""

import threading
import time
from collections.abc import Callable, Collection, Mapping

from mmdet_jetson.slurm.cluster import Cluster, JobState, SlurmError
from mmdet_jetson.slurm.records import NAME_PREFIX, Folder

SECONDS = 3.0
"""How old an answer may be. The controller serves a whole site: one question is for all jobs."""


class Queue:
    """The jobs of this user, as of a moment ago; it may be asked from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster = cluster
        self._say, self._clock = say, clock
        self._lock = threading.Lock()
        self._asked = -SECONDS
        self._jobs: Mapping[str, JobState] = {}
        self._silence: SlurmError | None = None

    def state(self, job: str) -> JobState | None:
        """A job as of a moment ago; None where Slurm lists it no more.

        Raises:
            SlurmError: Slurm does not answer now; that was said once.
        """
        with self._lock:
            if self._clock() - self._asked >= SECONDS:
                self._asked = self._clock()
                self._look()
            # Every thread is told, and not only the one that asked: no answer is no ending.
            if self._silence:
                raise self._silence
            return self._jobs.get(job)

    def live(self) -> dict[tuple[str, str], JobState]:
        """Jobs of ours that wait or run now, by submission and step."""
        found = {}
        for state in self.cluster.mine().values():
            submission, _, step = state.name.removeprefix(NAME_PREFIX).partition(".")
            if state.name.startswith(NAME_PREFIX) and step and not state.has_ended:
                found[submission, step] = state
        return found

    def _look(self) -> None:
        try:
            self._jobs, self._silence = self.cluster.mine(), None
        except SlurmError as error:
            if not self._silence:
                self._say(f"{error.message}; the jobs go on, and their files are followed")
            self._silence = error


def cancel(submissions: Collection[str], cluster: Cluster) -> list[tuple[str, str]]:
    """Cancel all jobs of submissions that wait or run; give the step and the number of each.

    Two submissions may have a job each for a step of one name.
    """
    live = Queue(cluster, print).live()
    jobs = [(step, state.job) for (name, step), state in live.items() if name in submissions]
    cluster.cancel([job for _, job in jobs])
    return jobs


def job_of(folder: Folder, step: str, cluster: Cluster) -> str:
    """The number of a step's job; empty where none was submitted.

    A client that was killed may not have written it down. Then Slurm knows the job by its name, or
    the job has told how it ended.
    """
    job = folder.job(step)
    if job:
        return job
    name = folder.job_name(step)
    numbers = [state.job for state in cluster.mine().values() if state.name == name]
    if not numbers:
        files = folder.path.glob(f"{step}-*.outcome.json")
        ended = (path.name[len(step) + 1 :].partition(".")[0] for path in files)
        numbers = [number for number in ended if number.isdigit()]
    job = max(numbers, key=int, default="")
    if job:
        folder.write_job(step, job)
    return job
