"""Measuring what is in a channel on a candidate's pictures, by the pipeline's own step."""

from collections.abc import Sequence
from dataclasses import replace

from mmdet_jetson.bundles.contents import Contents
from mmdet_jetson.cli.verbs import Session
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.pipeline import evaluate_again
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.planning.target_steps import VALIDATION
from mmdet_jetson.promotion.evidence import Incumbent
from mmdet_jetson.promotion.incumbents import (
    checkpoint_of,
    find_evaluation,
    incumbent_of,
    validation_of,
    validation_pictures,
)
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.registry.shared import Lost
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.runtimes.protocol import check
from mmdet_jetson.store import Artifact


def measure_incumbent(
    now: Session, contents: Contents, records: Sequence[Record]
) -> tuple[Incumbent | None, Artifact | None]:
    """What is in a channel, and its evaluation on the candidate's pictures, made where missing.

    No name of a run moves. What cannot be measured ends nothing: the incumbent says why.
    """
    if not records:
        return None, None
    try:
        evaluation = _evaluation(now, contents, checkpoint_of(now.store, records[-1]))
    except UserError as error:
        incumbent = incumbent_of(now.store, contents, records, None)
        hint = f" ({error.hint})" if error.hint else ""
        return incumbent and replace(incumbent, why_not=f"{error.message}{hint}"), None
    return incumbent_of(now.store, contents, records, evaluation), evaluation


def _evaluation(now: Session, contents: Contents, checkpoint: Artifact) -> Artifact:
    validation_of(contents)  # says so where there is none
    known = contents.dataset and find_evaluation(now.store, checkpoint, contents.dataset)
    if known:
        return known
    step = evaluate_again(now.project, checkpoint)
    made = {stages.TRAINING.verb: checkpoint, stages.DATASET.verb: _pictures(now, contents)}
    return _run(now, step, made)


def _pictures(now: Session, contents: Contents) -> Artifact:
    """The candidate's validation pictures: in the store, or by the configuration in use."""
    if there := validation_pictures(contents):
        return there
    (step,) = now.steps_of(stages.DATASET.verb)
    made = _run(now, step, {})
    if made.content_of(VALIDATION) != validation_of(contents):
        raise UserError(
            f"the validation pictures of {contents.name} are not in {now.store.root}, and "
            f"{now.project.path} has others",
            "--config with that of its run, or bundle it with --with-dataset",
        )
    return made


def _run(now: Session, step: Step, artifacts: dict[str, Artifact]) -> Artifact:
    """Run one step of given artifacts. Its result has no name: it is found by its key."""
    check(now.runtimes, [step])
    context = RunContext(
        runtimes=now.runtimes, store=now.store, listener=now.display, shared=now.shared
    )
    with now.display:
        while True:
            made = run_step(step, context, artifacts)
            try:
                context.bring(made)
            except Lost:  # a registry told of it and does not give it, so it is made here
                continue
            return made
