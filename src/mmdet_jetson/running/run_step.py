"""One step, run once: its key, its job folder, its place in the store."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

from mmdet_jetson.contract.job import OUTPUT, Progress, Result
from mmdet_jetson.environments.commit import git_commit
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import remove
from mmdet_jetson.locks import hold, lock_beside
from mmdet_jetson.planning import keys
from mmdet_jetson.planning.explain import changes_of_environment
from mmdet_jetson.planning.keys import Ingredients, ingredients
from mmdet_jetson.planning.steps import Step, StepOutput
from mmdet_jetson.registry.shared import Lost
from mmdet_jetson.running.context import RunContext
from mmdet_jetson.running.jobs import (
    prepare,
    recall,
    remember,
    reuse_last,
    taken_files,
    tell_digests,
)
from mmdet_jetson.runtimes.protocol import Runtimes, StageRun
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag

__all__ = ["RunContext", "ingredients_on", "known", "run_step"]

SOON = 0.1
"""Seconds of waiting for others after which a step's inputs are checked again."""


def run_step(
    step: Step, context: RunContext, artifacts: Mapping[str, Artifact], tag: str = ""
) -> Artifact:
    """Return the step's artifact: from the store or the registry when its key is known, else made.

    ``artifacts`` are those of the steps before it; ``tag`` is what a run names its result. One that
    the registry has is not fetched.

    Raises:
        UserError: the stage failed, an input could not be had, or the store could not be written.
        Lost: the registry does not give what it told of.
    """
    now, looked = ingredients_on(context.runtimes, step, artifacts), time.monotonic()
    folder = job_folder(context.store, step, now)
    artifact = known(step, context, now)
    if artifact:
        _clear_away(folder)
        tell_known(context, step, artifact)
        return artifact
    context.store.create()

    def wait() -> None:
        context.listener.waiting(step)
        context.turn.rests()

    with hold(lock_beside(folder), wait) as held:
        context.turn.goes_on()
        artifact = known(step, context, now)
        if artifact is None:
            with context.turn.at_work():
                has_waited = time.monotonic() - looked > SOON
                is_outdated = has_waited and now != ingredients_on(
                    context.runtimes, step, artifacts
                )
                if not is_outdated:
                    attempt = _Attempt(step, context, artifacts, now, folder, tag)
                    artifact = attempt.run(held.fileno())
            if artifact:
                remove(folder)
                context.listener.finished(step, artifact, cached=False)
                return _that_counts(step, context, artifact)
    if artifact is None:
        return run_step(step, context, artifacts, tag)
    tell_known(context, step, artifact)
    return artifact


def job_folder(store: Store, step: Step, now: Ingredients) -> Path:
    """Name the folder in which a step of a key is run, and in which it goes on after a kill."""
    return store.root / "jobs" / f"{step.name}-{now.key[:16]}"


def tell_known(context: RunContext, step: Step, artifact: Artifact) -> None:
    """Tell of a result that was known already."""
    if context.is_here(artifact):
        context.listener.finished(step, artifact, cached=True)
    else:
        context.listener.in_registry(step, artifact)


def _that_counts(step: Step, context: RunContext, made: Artifact) -> Artifact:
    """The result that later steps read: where it is pushed, the one that the registry had first."""
    if not (context.shared and context.pushes) or step.name in context.again:
        return made
    first = context.shared.first(made)
    if first is not made:
        context.listener.in_registry(step, first)
    return first


def _clear_away(folder: Path) -> None:
    """Remove the job folder of a run that was killed after its result was stored."""
    if folder.exists():
        with hold(lock_beside(folder)):
            remove(folder)


def ingredients_on(
    runtimes: Runtimes, step: Step, artifacts: Mapping[str, Artifact]
) -> Ingredients:
    """Collect what decides a step's result on these runtimes."""
    return ingredients(
        step,
        environment=_environment(runtimes, step),
        evidence=_evidence(runtimes, step),
        artifacts=artifacts,
    )


def _environment(runtimes: Runtimes, step: Step) -> str:
    runtime = runtimes.of(step)
    identity = runtime.identity(step)
    return f"{identity}:{runtime.device(step)}" if step.stage.measures_device else identity


def _evidence(runtimes: Runtimes, step: Step) -> str:
    return runtimes.of(step).evidence(step) if step.stage.is_evidence else ""


def known(step: Step, context: RunContext, now: Ingredients) -> Artifact | None:
    """The result of a key in the store, or else in the registry."""
    if step.name in context.again:
        return None
    here = context.store.find(cache_tag(now.key))
    return here or (context.shared.look(now.key, step.kind) if context.shared else None)


@dataclass(frozen=True)
class _Attempt:
    """A step whose result is not known, about to be run in a folder that is locked."""

    step: Step
    context: RunContext
    artifacts: Mapping[str, Artifact]
    ingredients: Ingredients
    folder: Path
    tag: str

    def run(self, lock: int) -> Artifact:
        """Run the step's stage and store what it made.

        It inherits the lock, so that a killed run's stage still holds it.
        """
        step, store, now = self.step, self.context.store, self.ingredients
        self._bring()
        self.context.listener.started(step)
        self.context.runtimes.of(step).prepare(step)
        began = time.monotonic()
        evidence = _evidence(self.context.runtimes, step)
        prepare(self.folder, step, evidence=evidence, store=store, artifacts=self.artifacts)
        places = tell_digests(self.folder, step, now.inputs)
        recall(self.folder, step, now, store.root)
        if step.reuses:
            reuse_last(self.folder, step, now.environment, store)
        with self._undisturbed():
            self._check_conditions()
            commit = git_commit()
            result = self._result(lock)
            self._check_what_was_read()
        provenance = _provenance(step, now, result, commit, time.monotonic() - began)
        subject = self.artifacts[step.judges].descriptor if step.judges else None
        made, taken = self.folder / OUTPUT, taken_files(self.folder, step, places)
        tags = [cache_tag(now.key)]
        artifact = store.put(step.stage.makes, made, provenance, tags, subject, taken=taken)
        remember(self.folder, step, now, store.root)
        return artifact

    def _bring(self) -> None:
        """Fetch what the step reads and what it judges; of its last artifact, if there is one."""
        read = {each.step for each in self.step.inputs.values() if isinstance(each, StepOutput)}
        for name in sorted(read | ({self.step.judges} if self.step.judges else set())):
            self.context.bring(self.artifacts[name])
        if self.step.reuses and self.context.shared:
            last = self.context.shared.look_at(self.tag)
            if last and last.provenance.environment == self.ingredients.environment:
                with suppress(Lost):
                    self.context.bring(last)

    def _undisturbed(self) -> AbstractContextManager[None]:
        """Have a device alone while something is timed on it."""
        step, context = self.step, self.context
        if not step.stage.measures_device:
            return nullcontext()
        runtime = context.runtimes.of(step)
        return runtime.alone(step, context.name, lambda why: context.listener.held_up(step, why))

    def _check_conditions(self) -> None:
        """Refuse to run what would not be what the key describes.

        From here on a runtime holds to it: packages, a container's image and a stage's source stay
        as they are, whatever happens to the files that they came from.
        """
        if keys.source_of(self.step) != self.ingredients.source:
            self._refuse("the source of its stage changed before it started")
        self._check_environment("before it started")

    def _check_what_was_read(self) -> None:
        """Refuse a result where a user's own file, or the device that it measures, changed."""
        if keys.input_digests(self.step, self.artifacts) != self.ingredients.inputs:
            self._refuse("an input changed while it was read")
        if self.step.stage.measures_device:
            self._check_environment("while it was measured")

    def _check_environment(self, when: str) -> None:
        before, now = self.ingredients.environment, _environment(self.context.runtimes, self.step)
        if now != before:
            self._refuse(f"{changes_of_environment(before, now)} (changed {when})")

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(f"{self.step.name}: {what}", "run again")

    def _result(self, lock: int) -> Result:
        listener, step = self.context.listener, self.step
        with self.context.recorder.recording(step, self.ingredients) as record:

            def hear(progress: Progress) -> None:
                listener.progress(step, progress)
                record(progress)

            return self.context.runtimes.of(step).run(
                StageRun(
                    step=step,
                    folder=self.folder,
                    inputs=self.ingredients.inputs,
                    source=self.ingredients.source,
                    on_progress=hear,
                    lock=lock,
                )
            )


def _provenance(
    step: Step, now: Ingredients, result: Result, commit: str, seconds: float
) -> Provenance:
    return Provenance(
        stage=step.stage.module,
        step=step.name,
        source=now.source,
        parameters=dict(now.parameters),
        inputs=dict(now.inputs),
        environment=now.environment,
        key=now.key,
        commit=commit,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        metrics=dict(result.metrics),
        facts=dict(result.facts),
        warnings=list(result.warnings),
    )
