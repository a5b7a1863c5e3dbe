"""Steps as a chain of jobs: each waits for those before it, and none is submitted twice."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold
from mmdet_jetson.planning.steps import Step, missing_inputs
from mmdet_jetson.processes import ProcessFailed
from mmdet_jetson.runtimes.slurm import SlurmRuntime
from mmdet_jetson.slurm import batch, endings
from mmdet_jetson.slurm.cluster import Cluster, JobState
from mmdet_jetson.slurm.queue import job_of
from mmdet_jetson.slurm.records import LOCK, Folder, Planned
from mmdet_jetson.store import Artifact

UNAVAILABLE = "Requested node configuration is not available"


@dataclass(frozen=True)
class Sent:
    """A job that makes a step: its number, and the folder of the submission that it belongs to."""

    folder: Folder
    step: str
    job: str


@dataclass
class Chain:
    """The jobs of one submission.

    ``steps`` are all of the plan, in order; ``batch`` names those that are for Slurm; ``prints``
    and ``parts`` are of `prints.fingerprints`. ``runtimes`` are by step.
    """

    folder: Folder
    cluster: Cluster
    here: Settings
    steps: Sequence[Step]
    runtimes: Mapping[str, SlurmRuntime]
    prints: Mapping[str, str]
    parts: Mapping[str, dict[str, str]]
    sent: dict[str, Sent] = field(default_factory=dict)

    def job(self, step: Step) -> endings.Job:
        """A step's job as sentences need it."""
        runtime = self.runtimes[step.name]
        asked = runtime.of(step)
        sent = self.sent.get(step.name)
        folder = sent.folder if sent else self.folder
        return endings.Job(
            step=step.name,
            settings=asked,
            file=runtime.file,
            may_resume=step.stage.may_resume,
            folders=batch.folders_seen(self.here, asked),
            log=folder.log(step.name, sent.job if sent else "%j"),
        )

    def check(self, steps: Iterable[Step]) -> None:
        """Let Slurm say whether it would take the jobs of these steps; nothing is submitted.

        Raises:
            UserError: it would not; says which setting is about that.
        """
        partitions = self.cluster.partitions()
        seen: set[tuple[str, ...]] = set()
        for step in steps:
            asked = self.runtimes[step.name].of(step)
            if asked.partition and asked.partition not in partitions:
                raise endings.no_partition(self.job(step), partitions)
            words = batch.options(step, asked, self.folder, ())
            kind = tuple(word for word in words if self.folder.id not in word)
            if kind not in seen:
                seen.add(kind)
                try:
                    self.cluster.test(kind)
                except ProcessFailed as error:
                    # It says so, too, where all nodes that fit are down or drained now. Then a job
                    # is taken, and waits; what no node ever has is refused when it is submitted.
                    if UNAVAILABLE not in error.output or endings.is_told(error):
                        raise endings.refused(error, self.job(step), partitions) from error

    def borrow(self, live: Mapping[tuple[str, str], JobState], wanted: Iterable[Step]) -> None:
        """Take the jobs of other submissions that make the same and wait or run now."""
        by_print: dict[str, Sent] = {}
        for (submission, name), state in live.items():
            folder = Folder(self.folder.path.parent / submission)
            planned = folder.planned(name)
            if planned:
                by_print[planned.print] = Sent(folder, name, state.job)
        for step in wanted:
            found = by_print.get(self.prints[step.name])
            if found:
                self.sent[step.name] = found

    def note_borrowed(self) -> None:
        """Write down in this submission whose jobs it follows."""
        for name, sent in self.sent.items():
            if sent.folder.path != self.folder.path:
                self.folder.write_planned(self._planned(name, {}, {}, sent.folder))

    def reopen(self) -> None:
        """Find the jobs that this submission has, whatever became of them.

        Raises:
            UserError: what it was planned from is not what is planned now.
        """
        for planned in self.folder.planned_steps():
            if planned.step not in self.runtimes:
                continue
            refuse_changed(planned, self.prints, self.parts, f"submission {self.folder.id}")
            folder = Folder(Path(planned.folder)) if planned.folder else self.folder
            job = job_of(folder, planned.step, self.cluster)
            if job:
                self.sent[planned.step] = Sent(folder, planned.step, job)

    def may_send(self, step: Step, known: Mapping[str, Artifact]) -> bool:
        """Whether all that a step reads is known, or is made by a job."""
        return all(name in known or name in self.sent for name in before(step))

    def send(self, step: Step, known: Mapping[str, Artifact]) -> Sent:
        """Submit the job of a step.

        Raises:
            UserError: Slurm does not take it.
        """
        read, runtime = before(step), self.runtimes[step.name]
        artifacts = {name: known[name].digest for name in read if name in known}
        jobs = {name: self.sent[name] for name in read if name not in known}
        first = [name for name in step.after if name in self.sent and name not in known]
        waits = [*jobs.values(), *(self.sent[name] for name in first)]
        outcomes = {
            name: str(sent.folder.outcome_file(sent.step, sent.job)) for name, sent in jobs.items()
        }
        asked = runtime.of(step)
        script = self.folder.script(step.name)
        script.write_text(batch.script(step, asked, runtime.settings, self.folder))
        self.folder.write_planned(self._planned(step.name, artifacts, outcomes))
        numbers = sorted({sent.job for sent in waits}, key=int)
        options = batch.options(step, asked, self.folder, numbers)
        with self._taken(step):
            job = self.cluster.submit(options, str(script))
        self.folder.write_job(step.name, job)
        sent = self.sent[step.name] = Sent(self.folder, step.name, job)
        return sent

    def send_late(self, step: Step, known: Mapping[str, Artifact]) -> Sent:
        """Submit a job that had to wait for what no job makes, unless another client just did.

        All that follow a submission come here as soon as that is made.

        Raises:
            UserError: Slurm does not take it.
        """
        with hold(self.folder.path.parent / LOCK):
            planned = self.folder.planned(step.name)
            if planned and planned.print == self.prints[step.name]:
                job = job_of(self.folder, step.name, self.cluster)
                if job:
                    sent = self.sent[step.name] = Sent(self.folder, step.name, job)
                    return sent
            return self.send(step, known)

    def own(self) -> dict[str, str]:
        """The jobs that belong to this submission, by step."""
        return {
            name: sent.job
            for name, sent in self.sent.items()
            if sent.folder.path == self.folder.path
        }

    def _planned(
        self,
        step: str,
        artifacts: dict[str, str],
        outcomes: dict[str, str],
        folder: Folder | None = None,
    ) -> Planned:
        return Planned(
            step=step,
            print=self.prints[step],
            parts=self.parts[step],
            artifacts=artifacts,
            outcomes=outcomes,
            folder=str(folder.path) if folder else "",
        )

    @contextmanager
    def _taken(self, step: Step) -> Iterator[None]:
        try:
            yield
        except ProcessFailed as error:
            raise endings.refused(error, self.job(step), self.cluster.partitions()) from error


def before(step: Step) -> list[str]:
    """The steps whose results a step's job has to have."""
    return sorted({*missing_inputs(step, {}), *([step.judges] if step.judges else [])})


def refuse_changed(
    planned: Planned,
    prints: Mapping[str, str],
    parts: Mapping[str, dict[str, str]],
    what: str,
    undo: Callable[[str], str] = "undo that, or `invoke cancel` and run the command again".format,
) -> None:
    """Refuse to go on where a step is planned otherwise now than when its job was submitted.

    Raises:
        UserError: names what differs.
    """
    if prints.get(planned.step) == planned.print:
        return
    now = parts.get(planned.step)
    if now is None:
        raise UserError(f"{what}: its step {planned.step} is no longer in the plan", undo(""))
    changed = [
        f"{name} ({_short(planned.parts.get(name, ''))} then, {_short(now.get(name, ''))} now)"
        for name in {**planned.parts, **now}
        if planned.parts.get(name) != now.get(name)
    ]
    differs = changed[0] if changed else "what a step before it is made from"
    raise UserError(f"{planned.step}: {differs} changed since {what} was submitted", undo(""))


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:18]}...{text[-18:]}"
