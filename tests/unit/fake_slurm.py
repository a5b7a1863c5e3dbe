"""A Slurm without one: its jobs are run here, one after the other, when somebody asks for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmdet_jetson.processes import ProcessFailed
from mmdet_jetson.slurm.cluster import Cluster, JobState

Run = Callable[[list[str], Mapping[str, str]], int]
"""Runs the program of a batch script, given its arguments and its environment."""


@dataclass
class FakeCluster(Cluster):
    """Takes jobs in order, and runs one that is due whenever it is asked how they are.

    ``held`` are names of steps whose jobs stay where they are, for so many looks; ``ends`` says how those of a step
    end without running: its state, its exit code and its signal. ``refuses`` is what sbatch says.
    """

    run: Run
    held: set[str] = field(default_factory=set)
    held_for: int = 1_000_000
    reason: str = "Resources"
    ends: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    refuses: str = ""
    jobs: dict[str, JobState] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)
    tested: list[list[str]] = field(default_factory=list)
    first: int = 11

    def check(self) -> None:
        """It is there."""

    def partitions(self) -> dict[str, str]:
        return {"main": "1:00:00", "short": "1:00"}

    def test(self, options: Sequence[str]) -> None:
        self._refuse()
        self.tested.append([*options])

    def submit(self, options: Sequence[str], script: str) -> str:
        self._refuse()
        job = str(self.first + len(self.jobs))
        self.options[job], self.scripts[job] = [*options], Path(script).read_text()
        self.jobs[job] = JobState(
            job=job, state="PENDING", reason="Priority", name=self._option(job, "job-name")
        )
        return job

    def mine(self) -> dict[str, JobState]:
        for job, state in self.jobs.items():
            if state.state == "PENDING" and self._is_due(job):
                self._end(job)
                break
        return dict(self.jobs)

    def details(self, job: str) -> JobState | None:
        return self.jobs.get(job)

    def ended_before(self, job: str) -> str:
        return ""

    def cancel(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            if not self.jobs[job].has_ended:
                self.jobs[job] = replace(self.jobs[job], state="CANCELLED", reason="by 0")

    def step(self, job: str) -> str:
        """The step that a job is of."""
        return self.jobs[job].name.partition(".")[2]

    def _option(self, job: str, name: str) -> str:
        found = [word for word in self.options[job] if word.startswith(f"--{name}=")]
        return found[-1].partition("=")[2] if found else ""

    def _is_due(self, job: str) -> bool:
        waits = self._option(job, "dependency").removeprefix("afterok:").split(":")
        before = [self.jobs[each] for each in waits if each]
        if any(each.has_ended and each.state != "COMPLETED" for each in before):
            gone = replace(self.jobs[job], state="CANCELLED", reason="DependencyNeverSatisfied")
            self.jobs[job] = gone
            return False
        is_held = self.step(job) in self.held and self.held_for > 0
        if is_held:
            self.held_for -= 1
            self.jobs[job] = replace(self.jobs[job], reason=self.reason)
        return not is_held and all(each.has_ended for each in before)

    def _end(self, job: str) -> None:
        step = self.step(job)
        if step in self.ends:
            state, code, signal = self.ends[step]
            self.jobs[job] = replace(
                self.jobs[job], state=state, reason="", code=code, signal=signal, node="n1"
            )
            return
        line = self.scripts[job].splitlines()[-1]
        arguments = line.split(" -m mmdet_jetson.cli.batch_job ")[1].split()
        code = self.run(arguments, {"SLURM_JOB_ID": job, "SLURMD_NODENAME": "n1"})
        ended = "FAILED" if code else "COMPLETED"
        self.jobs[job] = replace(self.jobs[job], state=ended, code=code, signal=0, node="n1")

    def _refuse(self) -> None:
        if self.refuses:
            raise ProcessFailed(["sbatch"], 1, self.refuses, None)
