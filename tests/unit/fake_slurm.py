"""A Slurm without one: its jobs are run here, one after the other, when somebody asks for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fakes import FakeRuntime

from mmdet_jetson.cli import attaching, verbs
from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.request import Request
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.config.slurm import Slurm
from mmdet_jetson.contract.job import Progress, Result, read_job
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.processes import ProcessFailed
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.runtimes.selection import RuntimeOptions
from mmdet_jetson.runtimes.slurm import SlurmRuntime
from mmdet_jetson.slurm.cluster import Cluster, JobState
from mmdet_jetson.store import Store

SLURM_TOML = 'partition = "main"\ntime = "0:30:00"\n'
Run = Callable[[list[str], Mapping[str, str]], int]
"""Runs the program of a batch script, given its arguments and its environment."""


@dataclass
class FakeCluster(Cluster):
    """Takes jobs in order, and runs one that is due whenever it is asked how they are.

    ``held`` are names of steps whose jobs stay where they are, for so many looks; ``ends`` says how those of a step
    end without running: its state, its exit code and its signal. ``refuses`` is what sbatch says, of
    all or of ``refuses_step`` when its job is submitted. Jobs of the steps ``back`` run for a while,
    and are put back in the queue, once.
    """

    run: Run
    held: set[str] = field(default_factory=set)
    held_for: int = 1_000_000
    reason: str = "Resources"
    ends: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    refuses: str = ""
    refuses_step: str = ""
    before: str = ""
    back: list[str] = field(default_factory=list)
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
        if not self.refuses_step:
            self._refuse()
        self.tested.append([*options])

    def submit(self, options: Sequence[str], script: str) -> str:
        if self.refuses_step in ("", Path(script).stem):
            self._refuse()
        job = str(self.first + len(self.jobs))
        self.options[job], self.scripts[job] = [*options], Path(script).read_text()
        self.jobs[job] = JobState(
            job=job, state="PENDING", reason="Priority", name=self._option(job, "job-name")
        )
        return job

    def mine(self) -> dict[str, JobState]:
        for job, state in self.jobs.items():
            if not state.has_ended and self._is_due(job):
                self._end(job)
                break
        return dict(self.jobs)

    def details(self, job: str) -> JobState | None:
        return self.jobs.get(job)

    def ended_before(self, job: str) -> str:
        return self.before

    def cancel(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            if not self.jobs[job].has_ended:
                self.jobs[job] = replace(self.jobs[job], state="CANCELLED", reason="by 0")

    def requeue(self, job: str) -> None:
        restarts = self.jobs[job].restarts + 1
        self.jobs[job] = replace(self.jobs[job], state="REQUEUED", restarts=restarts)

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
        if step in self.back:
            if self.jobs[job].state == "PENDING":
                self.jobs[job] = replace(self.jobs[job], state="RUNNING")
                return
            self.back.remove(step)
            self.jobs[job] = replace(self.jobs[job], state="PENDING", restarts=1)
            return
        if step in self.ends:
            state, code, signal = self.ends[step]
            self.jobs[job] = replace(
                self.jobs[job], state=state, reason="", code=code, signal=signal, node="n1"
            )
            return
        self.jobs[job] = replace(self.jobs[job], state="RUNNING", node="n1", limit="00:30:00")
        line = self.scripts[job].splitlines()[-1]
        arguments = line.split(" -m mmdet_jetson.cli.batch_job ")[1].split()
        environ = {"SLURM_JOB_ID": job, "SLURMD_NODENAME": "n1"}
        if restarts := self.jobs[job].restarts:
            environ["SLURM_RESTART_COUNT"] = str(restarts)
        code = self.run(arguments, environ)
        if self.jobs[job].state == "REQUEUED":
            self.jobs[job] = replace(self.jobs[job], state="PENDING", reason="BeginTime")
            return
        ended = "FAILED" if code else "COMPLETED"
        self.jobs[job] = replace(self.jobs[job], state=ended, code=code, signal=0, node="n1")

    def _refuse(self) -> None:
        if self.refuses:
            raise ProcessFailed(["sbatch"], 1, self.refuses, None)


MADE = (
    *("out.txt", "train.json", "val.json", "train/a.txt", "val/a.txt"),
    "export-pc-onnxruntime/x.onnx",
    "sizes.json",
    *("best.pth", "config.py", "predictions.json", "metrics.json"),
)
"""What each stage leaves, which has all that any later one reads up to a training."""


class Node(FakeRuntime):
    """A node whose stages take no time; its environments are the real ones, as keys see them."""

    gpu_identity = ""

    def identity(self, step: Step) -> str:
        return SlurmRuntime.environment(here(), step)

    def run(self, stage: StageRun) -> Result:
        self.runs.append(stage.step.name)
        self.before_run(stage)
        stage.on_progress(Progress(1, 2))
        if self.fails:
            raise StageFailed(f"{stage.step.name}: broke", "mend it")
        for name in MADE:
            path = stage.folder / "output" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{stage.step.name} {read_job(stage.folder).parameters}")
        return Result(metrics={"AP": 0.5}, warnings=("mind the gap",))


def here() -> SlurmRuntime:
    return SlurmRuntime(read_settings(), Store(read_settings().artifacts), Slurm(), Path("x"))


def on_slurm(*overrides: str, detach: bool = False) -> Request:
    return Request(
        config="configs/demo.toml",
        overrides=overrides,
        runtime=RuntimeOptions("slurm"),
        detach=detach,
    )


def train(*overrides: str, detach: bool = False) -> None:
    request = on_slurm(*overrides, detach=detach)
    answering(lambda: verbs.run_verb("train", request))()


def attach(id: str = "") -> None:
    answering(lambda: attaching.attach(id))()
