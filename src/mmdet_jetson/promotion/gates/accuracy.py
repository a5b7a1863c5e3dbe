"""``accuracy``: AP of each engine is at least a ratio of its checkpoint's, paired by picture.

Passes where the lower bound of the difference is at least 0, fails where the upper one is below,
and is inconclusive in between; `promotion.accuracy` has the bounds. Whatever was measured, it does
not pass on fewer pictures than show what an engine may lose everything on.
"""

from collections.abc import Iterator
from functools import partial

import msgspec

from mmdet_jetson.contract.report import CHECKPOINT, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.accuracy import average_precision, compare
from mmdet_jetson.promotion.compared import judged, outcome_of, pictures_needed, too_few
from mmdet_jetson.promotion.evidence import Case, Unusable, title
from mmdet_jetson.promotion.verdicts import Judged

NAME = "accuracy"


def judge(case: Case) -> Iterator[Judged]:
    """Judge the engine of each target, where the policy states a ratio."""
    if stated := case.policy.accuracy:
        for target in case.targets:
            yield case.judged(NAME, target, partial(_judge, case, target, stated.ratio))


def _judge(case: Case, target: str, ratio: float) -> Judged:
    engine, checkpoint = case.matches(target), case.matches(CHECKPOINT)
    after, before = average_precision(engine) or 0.0, average_precision(checkpoint) or 0.0
    said = f"AP of {title(target)} is {after:.4f} and of the checkpoint {before:.4f}"
    if not before:
        raise Unusable(INCONCLUSIVE, f"{said}: there is nothing to lose. Train for longer.")
    compared = compare(engine, checkpoint, ratio)
    if compared is None:
        count = engine.pictures_with_objects
        raise Unusable(INCONCLUSIVE, f"{said}, on {count} pictures with an object: far too few.")
    needed = pictures_needed(1 - ratio, 1)
    outcome = outcome_of(compared, 0)
    if outcome == PASS and needed and compared.pictures < needed:
        outcome = INCONCLUSIVE
    found = judged(NAME, compared, 0, outcome, f"{said}; less {ratio:g} times that it")
    more = too_few(compared, needed) if outcome == INCONCLUSIVE else ""
    return msgspec.structs.replace(found, sentence=found.sentence + more)
