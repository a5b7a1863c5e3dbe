"""Following the job of a step from wherever: what it told, what it tells, how it ends."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mmdet_jetson import stopping
from mmdet_jetson.contract.job import Progress
from mmdet_jetson.contract.records import ContractError, decode
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.run_step import RunContext, ingredients_on, known, tell_known
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.slurm import endings
from mmdet_jetson.slurm.chain import Chain, Sent
from mmdet_jetson.slurm.cluster import JobState, SlurmError
from mmdet_jetson.slurm.queue import Queue
from mmdet_jetson.slurm.records import Event, Failure, Outcome, read_outcome
from mmdet_jetson.store import Artifact

LOOKS = 0.5
"""Seconds between two looks at the files of a job."""
GRACE = 10.0
"""Seconds from a job's end to when nothing more is expected of it: a shared file system shows late
what was written elsewhere, and a job that is put back in the queue seems to have ended at first."""
ACCOUNTED = 5.0
"""Seconds until accounting knows how the last run of a job ended."""
LATE = 60.0
"""The same, where a job has ended by itself, and so told how; clients of NFS remember for so long
what is in a folder."""


class Tail:
    """The events of a job, read as they are written."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def new(self) -> Iterator[Event]:
        """Those since the last look; a line that is not whole yet is left for the next."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._read)
                content = stream.read()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                yield msgspec.json.decode(line, type=Event)
            except msgspec.DecodeError:
                continue  # cut off by a node that failed


@dataclass
class Follower:
    """Makes steps by following their jobs, and submits those that could not be before.

    One object is for all steps of a submission, and is called from several threads.
    """

    chain: Chain
    queue: Queue
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic

    def __call__(
        self, step: Step, context: RunContext, artifacts: Mapping[str, Artifact], tag: str
    ) -> Artifact:
        """Return what a step's job made.

        Raises:
            StageFailed: its stage failed.
            UserError: the job ended otherwise; says how.
        """
        sent = self.chain.sent.get(step.name)
        if sent is None:
            artifact = known(step, context, ingredients_on(context.runtimes, step, artifacts))
            if artifact:
                tell_known(context, step, artifact)
                return artifact
            sent = self.chain.send_late(step, artifacts)
            self.say(f"{step.name:<28} submitted as job {sent.job}")
        outcome = self._follow(sent, step, context)
        return self._concluded(outcome, sent, step, context)

    def _follow(self, sent: Sent, step: Step, context: RunContext) -> Outcome:
        """Tell what the job tells, until it has told how it ended."""
        events = Tail(sent.folder.events(sent.step, sent.job))
        file = sent.folder.outcome_file(sent.step, sent.job)
        watch = _Watch(step, self.say, self.chain.job(step), self.clock)
        ended_since: float | None = None
        while True:
            outcome = read_outcome(file)
            for event in events.new():
                self._tell(event, step, context)
                watch.heard(event)
            if outcome:
                return outcome
            try:
                state = self.queue.state(sent.job)
            except SlurmError:
                ended_since = None
            else:
                watch.look(state, self.queue)
                if state and not state.has_ended:
                    ended_since = None
                elif ended_since is None:
                    ended_since = self.clock()
                elif self.clock() - ended_since > GRACE:
                    last = self._last(sent, state)
                    if last.state and not last.has_ended:  # put back in the queue just now
                        ended_since = None
                    elif not _tells_itself(last) or self.clock() - ended_since > LATE:
                        raise endings.ended(self.chain.job(step), last)
            stopping.current().pause(LOOKS)

    def _tell(self, event: Event, step: Step, context: RunContext) -> None:
        listener = context.listener
        if event.what == "started":
            listener.started(step)
        elif event.what == "waiting":
            listener.waiting(step)
        elif event.what == "progress":
            try:
                listener.progress(step, decode(Progress, event.progress))
            except ContractError:
                return
        else:
            self.say(event.text)

    def _last(self, sent: Sent, state: JobState | None) -> JobState:
        return self.queue.cluster.details(sent.job) or state or JobState(job=sent.job, state="")

    def _concluded(self, outcome: Outcome, sent: Sent, step: Step, context: RunContext) -> Artifact:
        if outcome.left_out:
            raise UserError(outcome.left_out)
        if outcome.failure:
            raise self._failure(outcome.failure, sent, step)
        artifact = context.store.find(outcome.digest)
        deadline = self.clock() + GRACE
        while artifact is None and self.clock() < deadline:
            stopping.current().pause(LOOKS)
            artifact = context.store.find(outcome.digest)
        if artifact is None:
            raise UserError(
                f"{step.name}: job {outcome.job} made {outcome.digest[:19]} on node {outcome.node},"
                f" and the store at {context.store.root} does not have it",
                "run the same command again; was it collected as garbage?",
            )
        context.listener.finished(step, artifact, cached=outcome.cached)
        return artifact

    def _failure(self, failure: Failure, sent: Sent, step: Step) -> UserError:
        """The job's own sentence, unless Slurm knows better what killed its stage."""
        if failure.killed:
            deadline = self.clock() + GRACE
            state = self.queue.cluster.details(sent.job)
            while state and not state.has_ended and self.clock() < deadline:
                stopping.current().pause(LOOKS)
                state = self.queue.cluster.details(sent.job)
            if state and endings.ran_out_of_memory(self.chain.job(step), state):
                return endings.ended(self.chain.job(step), state)
        kind = StageFailed if failure.of_stage else UserError
        error = kind(failure.message, failure.hint)
        error.exit_code = failure.exit_code
        return error


def _tells_itself(state: JobState) -> bool:
    """Whether our program ended of its own, which it never does without telling its outcome."""
    return state.state in ("COMPLETED", "FAILED") and state.code in (0, 1) and not state.signal


class _Watch:
    """Tells once each time that a job waits for another reason, or is put back in the queue."""

    def __init__(
        self,
        step: Step,
        say: Callable[[str], None],
        job: endings.Job,
        clock: Callable[[], float],
    ) -> None:
        self._step, self._say, self._job, self._clock = step, say, job, clock
        self._reason = ""
        self._ran = self._asked_itself = False
        self._back_since: float | None = None

    def heard(self, event: Event) -> None:
        """Take note of a job that says itself that it goes back in the queue."""
        self._asked_itself = event.what == "time"

    def look(self, state: JobState | None, queue: Queue) -> None:
        """Look at a job as Slurm tells of it now."""
        if state is None:
            return
        if state.state == "RUNNING":
            self._tell_requeue(state, queue, after=0)
            self._ran, self._reason = True, ""
        if state.state not in ("PENDING", "REQUEUED", "SUSPENDED"):
            return
        if self._ran:
            self._ran, self._back_since = False, None if self._asked_itself else self._clock()
        self._tell_requeue(state, queue, after=ACCOUNTED)
        # That a step waits for those before it everybody knows.
        if state.reason not in (self._reason, "", "Dependency"):
            self._reason = state.reason
            self._say(f"{self._step.name:<28} job {state.job} waits: {endings.waits(state)}")

    def _tell_requeue(self, state: JobState, queue: Queue, *, after: float) -> None:
        if self._back_since is not None and self._clock() - self._back_since >= after:
            self._back_since = None
            before = queue.cluster.ended_before(state.job)
            told = endings.requeued(state, before, may_resume=self._job.may_resume)
            self._say(f"{self._step.name:<28} {told}")
