"""One stage, run once: its key, its job folder, its place in the store."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Protocol

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold
from mmdet_jetson.planning.keys import Ingredients, ingredients
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.processes import ProcessFailed, output_of
from mmdet_jetson.running.jobs import lend_last, lock_of, prepare, remove
from mmdet_jetson.runtimes.outcome import Progress, StageResult
from mmdet_jetson.store import Artifact, Provenance, Store, cache_tag


class Runtime(Protocol):
    """What runs a stage: a process here, or a container elsewhere."""

    @property
    def machine(self) -> Machine:
        """The machine that engines are built and measured on."""

    def identity(self, step: Step) -> str:
        """What a cache key needs to know of the environment that a step runs in."""

    def evidence(self, step: Step) -> str:
        """How near to its target a step's result is taken: measured, emulated or proxy."""

    def device(self, step: Step) -> str:
        """What tells the machine that a step runs on from another one when time is measured."""

    def check(self, steps: Sequence[Step]) -> None:
        """Refuse, before anything starts, what could not run here."""

    def prepare(self, step: Step) -> object:
        """Make a step's environment ready to run; may take minutes the first time."""

    def run(
        self,
        step: Step,
        job: Path,
        inputs: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        *,
        keep_open: Sequence[int] = (),
    ) -> StageResult:
        """Run a step's stage on a job folder and read its result.

        ``inputs`` maps each input's name to the digest of its content.
        """


class Listener(Protocol):
    """Who is told how a step goes."""

    def started(self, step: Step) -> None: ...  # noqa: D102
    def waiting(self, step: Step) -> None: ...  # noqa: D102
    def progress(self, step: Step, progress: Progress) -> None: ...  # noqa: D102
    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Workshop:
    """What every step of a run shares: where it runs, where results go, who is told."""

    runtime: Runtime
    store: Store
    listener: Listener
    again: frozenset[str] = frozenset()  # steps to run even if their result is known


def run_step(step: Step, shop: Workshop, made: Mapping[str, Artifact]) -> Artifact:
    """Return the step's artifact: from the store when its key is known, else made now.

    Raises:
        UserError: the stage failed, an input could not be had, or the store could not be written.
    """
    recipe = recipe_of(step, shop.runtime, made)
    tag = cache_tag(recipe.key)
    artifact = None if step.name in shop.again else shop.store.find(tag)
    if artifact:
        shop.listener.finished(step, artifact, cached=True)
        return artifact
    shop.store.create()
    job = shop.store.root / "jobs" / f"{step.name}-{recipe.key[:16]}"
    lock = lock_of(job)
    with hold(lock, lambda: shop.listener.waiting(step)) as held:
        artifact = None if step.name in shop.again else shop.store.find(tag)
        was_made_meanwhile = artifact is not None
        if artifact is None:
            shop.listener.started(step)
            shop.runtime.prepare(step)
            began = time.monotonic()
            prepare(job, step, recipe.parameters, shop.store, made)
            if step.reuses:
                lend_last(job, step, recipe.environment, shop.store)
            result = _run(step, shop, job, recipe.inputs, held.fileno())
            if recipe_of(step, shop.runtime, made) != recipe:
                raise UserError(f"{step.name}: an input changed while it was read", "run again")
            provenance = _provenance(step, recipe, result, time.monotonic() - began)
            subject = made[step.judges].descriptor if step.judges else None
            artifact = shop.store.put(step.kind, job / "output", provenance, [tag], subject)
            remove(job)
        lock.unlink(missing_ok=True)
    shop.listener.finished(step, artifact, cached=was_made_meanwhile)
    return artifact


def recipe_of(step: Step, runtime: Runtime, made: Mapping[str, Artifact]) -> Ingredients:
    """Collect what decides a step's result on this runtime."""
    environment = runtime.identity(step)
    if step.measures_device:
        environment += f":{runtime.device(step)}"
    if step.is_evidence:
        graded = {**step.parameters, "evidence": runtime.evidence(step)}
        step = replace(step, parameters=graded)
    return ingredients(step, environment, made)


def _run(
    step: Step, shop: Workshop, job: Path, inputs: Mapping[str, str], lock: int
) -> StageResult:
    """Start the stage; it inherits the lock, so that a killed run's stage still holds it."""
    return shop.runtime.run(
        step,
        job,
        inputs,
        lambda progress: shop.listener.progress(step, progress),
        keep_open=[lock],
    )


def _provenance(step: Step, recipe: Ingredients, result: StageResult, seconds: float) -> Provenance:
    return Provenance(
        stage=step.stage,
        step=step.name,
        source=recipe.source,
        parameters=dict(recipe.parameters),
        inputs=dict(recipe.inputs),
        environment=recipe.environment,
        key=recipe.key,
        commit=git_commit(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        metrics=result.metrics,
        facts=result.facts,
        warnings=result.warnings,
    )


@cache
def git_commit() -> str:
    """The commit that is checked out, with ``+`` when the tree differs from it; "" outside git."""
    try:
        commit = output_of(["git", "-C", str(ROOT), "rev-parse", "HEAD"])
        changed = output_of(["git", "-C", str(ROOT), "status", "--porcelain"])
    except ProcessFailed:
        return ""
    return commit + ("+" if changed else "")
