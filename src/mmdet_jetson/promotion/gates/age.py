"""``age``: no evidence is older than the policy allows.

Its sentence has dates and no ages, so that it is the same whenever it is judged, until one passes.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from mmdet_jetson.bundles.contents import PartName
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.evidence import Case, Unusable, graded
from mmdet_jetson.promotion.verdicts import Judged
from mmdet_jetson.store.artifact import moment_of

NAME = "age"
AHEAD = timedelta(days=1)
"""How far clocks of two machines may be apart. What is of later would never grow old."""


def judge(case: Case) -> Iterator[Judged]:
    """Judge all evidence together, where the policy asks."""
    if case.policy.max_evidence_days is not None:
        yield case.judged(NAME, "", partial(_judge, case, case.policy.max_evidence_days))


def _judge(case: Case, days: int) -> Judged:
    made = {part: _made(case, part) for part in graded(case)}
    if not made:
        raise Unusable(INCONCLUSIVE, "There is no evidence, so none that could be old.")
    oldest = min(made, key=lambda part: made[part])
    if (latest := max(made.values())) > case.now + AHEAD:
        raise Unusable(FAIL, f"Evidence is of {latest:%Y-%m-%d}, which is yet to come.")
    until = made[oldest] + timedelta(days=days)
    return Judged(
        gate=NAME,
        outcome=PASS if case.now <= until else FAIL,
        sentence=(
            f"The oldest evidence, {oldest}, is of {made[oldest]:%Y-%m-%d}; {days} days are "
            f"allowed, until {until:%Y-%m-%d}."
        ),
        limit=float(days),
        unit="days",
    )


def _made(case: Case, part: PartName) -> datetime:
    if when := moment_of(case.contents.parts[part].provenance.created):
        return when
    raise Unusable(FAIL, f"The {part} does not say when it was made.")
