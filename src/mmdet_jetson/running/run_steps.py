"""All steps of a run in order, and the names of what comes of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step, is_fetched, missing_inputs
from mmdet_jetson.registry.shared import Lost
from mmdet_jetson.running.run_step import RunContext, ingredients_on, known, run_step
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import check
from mmdet_jetson.store import Artifact, Store


def run_steps(
    steps: Sequence[Step],
    context: RunContext,
    name: str,
    goals: Collection[str] | None = None,
) -> dict[str, Artifact]:
    """Run the steps in order and tag each artifact ``<name>.<step>``; return them by step.

    What only has to come before others is left out where the results of those are known. What a
    registry has is fetched where a step that is run reads it, or where it is one of the ``goals``,
    by default all steps. Where it does not give what it told of, or has got another result of what
    was made and pushed here, everything is looked at again: what follows may be another.

    Raises:
        UserError: a step cannot run here, or failed.
    """
    needed = {step.name for step in steps if goals is None or step.name in goals}
    steps = _that_can_run(steps, context, needed)
    while True:
        check(context.runtimes, _to_make(steps, context) if context.shared else steps)
        artifacts: dict[str, Artifact] = {}
        try:
            _run_all(steps, context, name, artifacts, needed)
            if context.shared and context.pushes and context.shared.overtaken():
                raise Lost  # noqa: TRY301 - as where a result cannot be had
            for step in steps:
                if step.name in artifacts and (goals is None or step.name in goals):
                    context.bring(artifacts[step.name])
        except Lost:
            made = frozenset(each for each in artifacts if context.is_here(artifacts[each]))
            context = replace(context, again=context.again - made)
            continue
        for made_by, artifact in artifacts.items():
            if context.is_here(artifact):
                tag_result(context.store, artifact, f"{name}.{made_by}")
        return artifacts


def _run_all(
    steps: Sequence[Step],
    context: RunContext,
    name: str,
    artifacts: dict[str, Artifact],
    goals: Collection[str],
) -> None:
    """Run the steps in order, and add their artifacts."""
    for step in steps:
        if _is_idle(step, steps, lambda each: bool(_known(each, context, artifacts))):
            continue
        tag = f"{name}.{step.name}"
        try:
            make = context.makers.get(step.name, run_step)
            artifact = artifacts[step.name] = make(step, context, artifacts, tag)
        except UserError as error:
            # What a stage refuses is an answer; that it cannot be started here is none.
            if isinstance(error, StageFailed) or not _may_be_left_out(step, goals):
                raise
            context.listener.left_out(step, error.message)
            continue
        if context.is_here(artifact):
            tag_result(context.store, artifact, tag)
        if context.shared and context.pushes:
            context.shared.offer(artifact, tag, anew=step.name in context.again)


def _may_be_left_out(step: Step, goals: Collection[str]) -> bool:
    return step.stage.may_be_left_out and step.name not in goals


def _that_can_run(
    steps: Sequence[Step], context: RunContext, goals: Collection[str]
) -> Sequence[Step]:
    """Leave out what may be where it cannot run here, and say so where it would have run."""
    left_out: dict[str, str] = {}
    for step in steps:
        if _may_be_left_out(step, goals):
            try:
                check(context.runtimes, [step])
            except UserError as error:
                left_out[step.name] = error.message
    if not left_out:
        return steps
    to_make = {step.name for step in _to_make(steps, context)}
    for step in steps:
        if step.name in left_out and step.name in to_make:
            context.listener.left_out(step, left_out[step.name])
    return [step for step in steps if step.name not in left_out]


def _to_make(steps: Sequence[Step], context: RunContext) -> list[Step]:
    """The steps whose results neither the store nor the registry has, as far as is known now."""
    found: dict[str, Artifact] = {}
    for step in steps:
        if artifact := _known(step, context, found):
            found[step.name] = artifact
    return [
        step
        for step in steps
        if step.name not in found and not _is_idle(step, steps, lambda each: each.name in found)
    ]


def _is_idle(step: Step, steps: Sequence[Step], is_known: Callable[[Step], bool]) -> bool:
    """Whether a step only has to come before others, whose results are known."""
    waiting = [each for each in steps if step.name in each.after]
    return bool(waiting) and all(map(is_known, waiting))


def _known(step: Step, context: RunContext, artifacts: Mapping[str, Artifact]) -> Artifact | None:
    if missing_inputs(step, artifacts) or not is_fetched(step):
        return None
    return known(step, context, ingredients_on(context.runtimes, step, artifacts))


def tag_result(store: Store, artifact: Artifact, tag: str) -> None:
    """Move a run name; where it already names the artifact nothing is written."""
    named = store.tags().get(tag)
    if named is None or named.digest != artifact.digest:
        store.tag(artifact, tag)
