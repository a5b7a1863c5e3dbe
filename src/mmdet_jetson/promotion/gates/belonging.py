"""``belonging``: all parts were made from one another, and each says so.

What `bundles.belonging` finds out about names that moved counts here as well: a stale engine,
evidence about another engine, a passport of other files. What was made elsewhere may also say
nothing of what it was made from; that is no contradiction, and no evidence either.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from mmdet_jetson.bundles.belonging import contradictions
from mmdet_jetson.bundles.contents import (
    CHECKPOINT,
    ENGINE,
    EVALUATION,
    ONNX,
    PROFILE,
    PROOF,
    PartName,
)
from mmdet_jetson.bundles.trainings import is_taken
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.contract.report import FAIL
from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.verdicts import Judged

NAME = "belonging"
# What a part was made from, by the names of the steps' inputs (`planning.target_steps`).
MADE_FROM: Mapping[str, tuple[str, ...]] = {
    ONNX: ("checkpoint",),
    ENGINE: ("onnx",),
    EVALUATION: ("dataset", "engine"),
    PROOF: ("dataset", "graph", "checkpoint", "engine"),
    PROFILE: ("dataset", "engine"),
}


def judge(case: Case) -> Iterator[Judged]:
    """Judge the bundle as a whole."""
    yield case.judged(NAME, "", partial(_judge, case))


def _judge(case: Case) -> Judged:
    found = [each.sentence for each in contradictions(case.contents)] or list(_silent(case))
    if not found:
        return case.passed(NAME, "All parts were made from one another.")
    more = f" ({len(found) - 1} more: invoke show {case.contents.name})" if found[1:] else ""
    return Judged(gate=NAME, outcome=FAIL, sentence=f"{found[0]}{more}.")


def _silent(case: Case) -> Iterator[str]:
    """Parts that do not say what they were made from."""
    checkpoint = case.contents.checkpoint
    # What was trained elsewhere has no dataset here; the gate `separation` says what that means.
    trained: tuple[str, ...] = () if checkpoint and is_taken(checkpoint) else ("dataset",)
    needed: dict[PartName, tuple[str, ...]] = {
        PartName(CHECKPOINT): trained,
        PartName(EVALUATION, TRAINED): _OF_CHECKPOINT,
    }
    for target in case.contents.targets:
        needed |= {PartName(kind, target): inputs for kind, inputs in MADE_FROM.items()}
    for part, inputs in needed.items():
        artifact = case.contents.parts.get(part)
        said = artifact.provenance.inputs if artifact else dict.fromkeys(inputs)
        for name in inputs:
            if name not in said:
                yield f"{case.contents.title(part)} does not say of which {name} it is"


_OF_CHECKPOINT = ("dataset", "checkpoint")
