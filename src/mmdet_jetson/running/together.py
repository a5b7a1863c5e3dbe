"""The steps of a run side by side: each in a thread, behind those that it needs.

A step that fails keeps back what needs it, and nothing else.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from graphlib import TopologicalSorter
from queue import SimpleQueue
from threading import Lock, Thread

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step, is_fetched, missing_inputs
from mmdet_jetson.registry.shared import Lost
from mmdet_jetson.running.context import Ending, RunContext
from mmdet_jetson.running.room import Room, Turn, Withdrawn
from mmdet_jetson.running.run_step import ingredients_on, known, run_step
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import Place
from mmdet_jetson.stopping import Stopping
from mmdet_jetson.store import Artifact, Store

PATIENCE = 3.0  # seconds after Ctrl-C, before it is said what is waited for


@dataclass(frozen=True)
class _End:
    """How a step's thread ended; with neither an artifact nor an error nobody needed the step."""

    step: Step
    artifact: Artifact | None = None
    error: BaseException | None = None
    where: str = ""
    seconds: float = 0


@dataclass
class Together:
    """One go at the steps of a run, which ``name`` is; ``goals`` may not be left out."""

    steps: Sequence[Step]
    context: RunContext
    name: str
    goals: Collection[str]
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    """What there is, by step."""
    failures: dict[str, UserError] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._before = _needs(self.steps)
        self._room = Room(self.context.jobs)
        self._rank = {step.name: number for number, step in enumerate(self.steps)}
        self._done = SimpleQueue[_End]()
        self._choosing = Lock()
        # As in provenance, which has whole seconds.
        self._began = datetime.now(timezone.utc).replace(microsecond=0)

    def run(self) -> None:
        """Run all that can be run, to its end.

        Raises:
            Lost: the registry does not give what it told of; what ran has ended.
            KeyboardInterrupt: somebody pressed Ctrl-C; nothing runs any more.
        """
        sorter = TopologicalSorter(self._before)
        sorter.prepare()
        stopping, running, is_lost = Stopping(), dict[str, Thread](), False
        by_name = {step.name: step for step in self.steps}
        try:
            while True:
                ready = () if is_lost else sorter.get_ready()
                for name in sorted(ready, key=self._rank.__getitem__):
                    thread = stopping.thread(self._job(by_name[name]), name)
                    running[name] = thread
                    thread.start()
                if not running:
                    break
                end = self._done.get()
                running.pop(end.step.name).join()
                if isinstance(end.error, Lost):
                    is_lost = True
                    self._room.close()
                elif self._heard(end):
                    sorter.done(end.step.name)
        except BaseException:
            stopping.stop()
            self._join(running)
            raise
        if is_lost:
            raise Lost
        self._tell_of_the_rest()

    def _heard(self, end: _End) -> bool:
        """Take in how a step ended; tell whether what needs it may go on."""
        step, error = end.step, end.error
        if error is None:
            if end.artifact:
                self.artifacts[step.name] = end.artifact
                self._note(end, self._word(end, end.artifact))
            return True
        if isinstance(error, Withdrawn):
            return False
        if not isinstance(error, UserError):
            raise error
        # What a stage refuses is an answer; that it cannot be started here is none.
        may_be_left_out = step.stage.may_be_left_out and step.name not in self.goals
        if may_be_left_out and not isinstance(error, StageFailed):
            self.context.listener.left_out(step, error.message)
            self._note(end, "left out", error.message)
            return True
        self.failures[step.name] = error
        self.context.listener.failed(step, error)
        self._note(end, "failed", _in_short(error.message))
        return False

    def _note(self, end: _End, word: str, why: str = "") -> None:
        self.endings[end.step.name] = Ending(end.step, word, end.where, end.seconds, why)

    def _word(self, end: _End, artifact: Artifact) -> str:
        if not self.context.is_here(artifact):
            return "in the registry"
        if end.step.name in self.context.makers:
            created = datetime.fromisoformat(artifact.provenance.created)
            return "made" if created >= self._began else "cached"
        return "made" if end.where else "cached"

    def _tell_of_the_rest(self) -> None:
        """Note what was never begun, and the failures that kept it back."""
        kept_back = {name: {name} for name in self.failures}
        for step in self.steps:
            behind = [kept_back[name] for name in self._before[step.name] if name in kept_back]
            if behind and step.name not in self.endings:
                failed = kept_back[step.name] = set().union(*behind)
                why = f"needs {', '.join(sorted(failed, key=self._rank.__getitem__))}"
                self.endings[step.name] = Ending(step, "not made", why=why)

    def _job(self, step: Step) -> Callable[[], None]:
        # In the order of the plan: what a report is told of is part of it.
        there = {each.name: each for each in self.steps if each.name in self.artifacts}
        artifacts = {name: self.artifacts[name] for name in there}

        def run() -> None:
            made, error, turn, began = None, None, self._turn(step), time.monotonic()
            try:
                with turn or nullcontext():
                    made = self._make(step, artifacts, turn)
            except BaseException as raised:  # the main thread raises it
                error = raised
            where = turn.where if turn else self.context.runtimes.of(step).place.name
            seconds = turn.seconds if turn else time.monotonic() - began
            self._done.put(_End(step, made, error, where, seconds))

        return run

    def _make(
        self, step: Step, artifacts: Mapping[str, Artifact], turn: Turn | None
    ) -> Artifact | None:
        """Make one step, name it and push it; None where nobody needs it."""
        context = replace(self.context, name=self.name)
        if turn:
            context = replace(self._chosen(step, turn), turn=turn, name=self.name)
        if is_idle(step, self.steps, lambda each: bool(look_up(each, context, artifacts))):
            return None
        make, tag = context.makers.get(step.name, run_step), f"{self.name}.{step.name}"
        artifact = make(step, context, artifacts, tag)
        if context.is_here(artifact):
            name_it(context.store, artifact, tag)
        if context.shared and context.pushes:
            context.shared.offer(artifact, tag, anew=step.name in context.again)
        return artifact

    def _turn(self, step: Step) -> Turn | None:
        """What a step asks before it begins; None for one that runs elsewhere."""
        if step.name in self.context.makers:
            return None
        places = [runtime.place for runtime in self.context.runtimes.choices(step)]
        rank = (0 if self._feeds_another_machine(step, places) else 1, self._rank[step.name])
        return self._room.turn(places, rank, times=step.stage.measures_device)

    def _feeds_another_machine(self, step: Step, places: Sequence[Place]) -> bool:
        """Whether another machine may have nothing to do until a step is made."""
        here = {place.machine for place in places}
        waiting = {step.name}
        for each in self.steps:
            if waiting & self._before[each.name]:
                waiting.add(each.name)
                there = {at.place.machine for at in self.context.runtimes.choices(each)}
                if each.name in self.context.makers or there - here:
                    return True
        return False

    def _chosen(self, step: Step, turn: Turn) -> RunContext:
        """Leave a step's target to the host that is free first, if there are several."""
        choices = self.context.runtimes.choices(step)
        if len(choices) == 1:
            return self.context
        place = turn.take()
        with self._choosing:
            if len(self.context.runtimes.choices(step)) > 1:
                (runtime, *_) = (each for each in choices if each.place == place)
                runtimes = self.context.runtimes.choose(step.subject, runtime)
                self.context = replace(self.context, runtimes=runtimes)
        return self.context

    def _join(self, running: Mapping[str, Thread]) -> None:
        """Wait for what was told to stop; who presses Ctrl-C again does not."""
        began, told = time.monotonic(), False
        for name, thread in running.items():
            while thread.is_alive():
                thread.join(0.1)
                if not told and time.monotonic() - began > PATIENCE:
                    told = True
                    (step,) = (each for each in self.steps if each.name == name)
                    self.context.listener.held_up(step, "stopping; Ctrl-C again does not wait")


def _in_short(message: str) -> str:
    """The sentence of an error; of one with the end of a log the last line of that, too."""
    first, *more = message.splitlines() or [""]
    return f"{first} {more[-1].strip()}" if more else first


def _needs(steps: Sequence[Step]) -> dict[str, set[str]]:
    """What has to be there before each step: what it reads, what it judges, what comes first.

    Whether a step that only comes before others is needed at all is known by their results, and
    these by what they read: so that has to be there before it, too.
    """
    position = {step.name: number for number, step in enumerate(steps)}
    needs = {step.name: set(_reads(step)) | set(step.after) for step in steps}
    for step in steps:
        for first in step.after:
            needs.setdefault(first, set()).update(_reads(step))
    return {
        name: {each for each in needs[name] if each in position and position[each] < number}
        for name, number in position.items()
    }


def _reads(step: Step) -> set[str]:
    return {*missing_inputs(step, {}), *([step.judges] if step.judges else [])}


def is_idle(step: Step, steps: Sequence[Step], is_known: Callable[[Step], bool]) -> bool:
    """Whether a step only has to come before others, whose results are known."""
    waiting = [each for each in steps if step.name in each.after]
    return bool(waiting) and all(map(is_known, waiting))


def look_up(step: Step, context: RunContext, artifacts: Mapping[str, Artifact]) -> Artifact | None:
    """A step's result, as far as it is known without making or fetching anything."""
    if missing_inputs(step, artifacts) or not is_fetched(step):
        return None
    return known(step, context, ingredients_on(context.runtimes, step, artifacts))


def name_it(store: Store, artifact: Artifact, tag: str) -> None:
    """Move a run name; where it already names the artifact nothing is written."""
    named = store.tags().get(tag)
    if named is None or named.digest != artifact.digest:
        store.tag(artifact, tag)
