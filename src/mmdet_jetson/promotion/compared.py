"""What a comparison of two models amounts to, as gates say it."""

from math import ceil, log

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.accuracy import Comparison
from mmdet_jetson.promotion.resampling import CONFIDENCE, COST
from mmdet_jetson.promotion.verdicts import Judged

UNIT = "AP"
DIGITS = 6
"""What is kept of numbers: the last digits differ from processor to processor."""
_VERDICTS = {PASS: "at least", FAIL: "below", INCONCLUSIVE: "too uncertain to compare with"}


def outcome_of(compared: Comparison, limit: float) -> str:
    """Whether a difference is shown to be at least a limit, or to be below it."""
    low, high = round(compared.low, DIGITS), round(compared.high, DIGITS)
    if low >= limit:
        return PASS
    return FAIL if high < limit else INCONCLUSIVE


def judged(gate: str, compared: Comparison, limit: float, outcome: str, what: str) -> Judged:
    """What a gate says of a difference; ``what`` it is of begins the sentence."""
    measured, low, high = (
        round(each, DIGITS) for each in (compared.difference, compared.low, compared.high)
    )
    sentence = (
        f"{what} is {measured:.4f} ({low:.4f} to {high:.4f}, each with {CONFIDENCE:.0%} "
        f"confidence, from {compared.pictures} pictures with an object), "
        f"{_VERDICTS[outcome]} {limit:g}."
    )
    return Judged(
        gate=gate,
        outcome=outcome,
        sentence=sentence,
        measured=measured,
        low=low,
        high=high,
        limit=limit,
        unit=UNIT,
    )


def pictures_needed(allowed: float, average: float) -> int | None:
    """How many pictures with an object it takes to show that AP falls by no more than allowed.

    ``average`` is the AP that all of them have: it may be lost, `COST` times, on as many as make
    up what is allowed, and one of those has to be seen with the confidence of a bound. None where
    nothing is allowed, which no number of pictures shows.
    """
    share = allowed / average if average else 1.0
    if share <= 0:
        return None
    return 1 if share >= 1 else ceil(log(1 - CONFIDENCE) / log(1 - share / COST))


def too_few(compared: Comparison, needed: int | None) -> str:
    """What it would take to tell, as a sentence; "" where there are pictures enough."""
    if needed is None or (compared.pictures >= needed and not compared.weakest):
        return ""
    if compared.weakest:
        return (
            f" {compared.weakest} is on so few of them that the loss of one such picture matters "
            "most: add validation pictures with it."
        )
    return f" That takes {needed} at least: add validation pictures."
