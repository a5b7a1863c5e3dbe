"""All steps of a run, and the names of what comes of them."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.registry.shared import Lost
from mmdet_jetson.running.run_step import RunContext
from mmdet_jetson.running.together import Together, is_idle, look_up, name_it
from mmdet_jetson.runtimes.protocol import check
from mmdet_jetson.store import Artifact


class SeveralFailed(UserError):
    """More than one step failed; it says what the first one did, with that one's exit code."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        first, *more = errors
        also = "one more step failed" if len(more) == 1 else f"{len(more)} more steps failed"
        super().__init__(f"{first.message}; {also}, as the table shows", first.hint)
        self.exit_code = first.exit_code


def run_steps(
    steps: Sequence[Step],
    context: RunContext,
    name: str,
    goals: Collection[str] | None = None,
) -> dict[str, Artifact]:
    """Run the steps and tag each artifact ``<name>.<step>``; return them by step, in this order.

    Steps that need nothing of each other run side by side (`running.room`), and one that fails
    keeps back only what needs it. What only has to come before others is left out where the results
    of those are known. What a registry has is fetched where a step that is run reads it, or where
    it is one of the ``goals``, by default all steps. Where it does not give what it told of, or has
    got another result of what was made and pushed here, everything is looked at again: what follows
    may be another.

    Raises:
        UserError: a step cannot run here, which is known before anything runs, or failed, while
            all others have run to their end.
    """
    needed = {step.name for step in steps if goals is None or step.name in goals}
    steps = _that_can_run(steps, context, needed)
    context = with_known_hosts(steps, context)
    while True:
        check(context.runtimes, _to_make(steps, context) if context.shared else steps)
        go = Together(steps, context, name, needed)
        try:
            go.run()
            context, artifacts = go.context, go.artifacts
            if context.shared and context.pushes and context.shared.overtaken():
                raise Lost  # noqa: TRY301 - as where a result cannot be had
            for step in steps:
                if step.name in artifacts and (goals is None or step.name in goals):
                    context.bring(artifacts[step.name])
        except Lost:
            context, artifacts = go.context, go.artifacts
            made = frozenset(each for each in artifacts if context.is_here(artifacts[each]))
            context = replace(context, again=context.again - made)
            continue
        for made_by, artifact in artifacts.items():
            if context.is_here(artifact):
                name_it(context.store, artifact, f"{name}.{made_by}")
        context.listener.ended([go.endings[each.name] for each in steps if each.name in go.endings])
        _refuse_failures(steps, go)
        return {each.name: artifacts[each.name] for each in steps if each.name in artifacts}


def _refuse_failures(steps: Sequence[Step], go: Together) -> None:
    errors = [go.failures[each.name] for each in steps if each.name in go.failures]
    if errors:
        raise errors[0] if len(errors) == 1 else SeveralFailed(errors)


def with_known_hosts(steps: Sequence[Step], context: RunContext) -> RunContext:
    """Leave each target of several hosts to the one where most is known of it, if anything is.

    Otherwise a run that is repeated might build and time it all again, on another device.
    """
    for target, others in context.runtimes.others.items():
        runtimes = context.runtimes
        tries = [
            replace(context, runtimes=runtimes.choose(target, each))
            for each in (runtimes.by_target[target], *others)
        ]
        there = [
            [step for step in _found(steps, each)[0] if step.subject == target] for each in tries
        ]
        known = [sum(step.stage.runs_engines for step in each) for each in there]
        if any(known):
            context = tries[known.index(max(known))]
    return context


def _that_can_run(
    steps: Sequence[Step], context: RunContext, goals: Collection[str]
) -> Sequence[Step]:
    """Leave out what may be where it cannot run here, and say so where it would have run."""
    left_out: dict[str, str] = {}
    for step in steps:
        if step.stage.may_be_left_out and step.name not in goals:
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
    there, absent = _found(steps, context)
    names = {step.name for step in there}
    return [step for step in absent if not is_idle(step, steps, lambda each: each.name in names)]


def _found(steps: Sequence[Step], context: RunContext) -> tuple[list[Step], list[Step]]:
    """The steps whose results are known, and the others."""
    found: dict[str, Artifact] = {}
    for step in steps:
        if artifact := look_up(step, context, found):
            found[step.name] = artifact
    there = [step for step in steps if step.name in found]
    return there, [step for step in steps if step.name not in found]
