"""``incumbent``: the checkpoint against that of the bundle in the channel, on today's pictures.

Paired by picture, as `accuracy` is, so what has become harder since has become so for both.
"""

from collections.abc import Iterator

import msgspec

from mmdet_jetson.contract.report import CHECKPOINT, INCONCLUSIVE
from mmdet_jetson.promotion.accuracy import (
    Matches,
    are_the_same,
    average_precision,
    belong_together,
    compare,
)
from mmdet_jetson.promotion.compared import judged, outcome_of, pictures_needed, too_few
from mmdet_jetson.promotion.evidence import Case, Incumbent, Unusable
from mmdet_jetson.promotion.verdicts import Judged

NAME = "incumbent"


def judge(case: Case) -> Iterator[Judged]:
    """Judge the checkpoint, where the policy states how it has to compare."""
    stated = case.policy.incumbent
    if stated and stated.better_by is not None:
        limit = stated.better_by
        yield case.judged(NAME, "", lambda: _judge(case, limit))
    elif stated and stated.worse_by is not None:
        worse = -stated.worse_by
        yield case.judged(NAME, "", lambda: _judge(case, worse))


def _judge(case: Case, limit: float) -> Judged:
    incumbent = case.incumbent
    if incumbent is None:
        return case.passed(NAME, f"Nothing is in {case.channel} yet that it could be worse than.")
    theirs = _measured(incumbent)
    mine = case.matches(CHECKPOINT)
    if not belong_together(mine, theirs):
        raise Unusable(
            INCONCLUSIVE,
            f"The checkpoint of {incumbent.name}, which is in {case.channel}, was measured with "
            "other pictures, objects or classes than the candidate's: promote again, which "
            "measures it anew.",
        )
    if limit <= 0 and are_the_same(mine, theirs):
        return case.passed(
            NAME, f"The checkpoint detects exactly what that of {incumbent.name} detects."
        )
    return _compared(mine, theirs, limit, incumbent.name)


def _measured(incumbent: Incumbent) -> Matches:
    if incumbent.matches is None:
        raise Unusable(
            INCONCLUSIVE,
            f"The checkpoint of {incumbent.name} was not measured on these pictures: "
            f"{incumbent.why_not or 'promote measures it'}.",
        )
    return incumbent.matches


def _compared(mine: Matches, theirs: Matches, limit: float, name: str) -> Judged:
    now, before = average_precision(mine) or 0.0, average_precision(theirs) or 0.0
    said = f"AP of the checkpoint is {now:.4f} and of that of {name} {before:.4f}"
    compared = compare(mine, theirs, 1)
    if compared is None:
        count = mine.pictures_with_objects
        raise Unusable(INCONCLUSIVE, f"{said}, on {count} pictures with an object: far too few.")
    outcome = outcome_of(compared, limit)
    found = judged(NAME, compared, limit, outcome, f"{said}; their difference")
    if outcome != INCONCLUSIVE:
        return found
    more = too_few(compared, pictures_needed(compared.difference - limit, now))
    return msgspec.structs.replace(found, sentence=found.sentence + more)
