"""``min_AP50``: AP50 of the checkpoint and of each engine reaches a limit.

It is a claim about pictures to come, judged on a sample of them: where the 95% interval over
resampled pictures holds the limit, or the pictures are too few for an interval, the sample cannot
tell, and the gate is inconclusive.
"""

import math
from typing import List, Optional, Tuple

from mmdet_jetson.contract.report import CHECKPOINT, FAIL, INCONCLUSIVE, PASS, GateResult
from mmdet_jetson.stages.gates.measured import Case, Interval, UnusableEvaluationError, title

# How far AP50 recomputed from the stored predictions may lie from the stored figure.
SAME_FIGURE = 1e-3


def judge(case: Case) -> List[GateResult]:
    """Judge the checkpoint, then the engine of each target."""
    return [_judge(case, subject) for subject in (CHECKPOINT, *case.measured.engines)]


def _judge(case: Case, subject: str) -> GateResult:
    try:
        ap50 = case.measured.figure(subject, "AP50")
    except UnusableEvaluationError as reason:
        return case.result(subject, FAIL, None, str(reason))
    evaluated = case.measured.evaluated(subject)
    interval = evaluated.ap50_interval if evaluated else None
    outcome, end = _weigh(ap50, interval, case.limit, case.measured.pictures)
    return case.result(subject, outcome, ap50, f"AP50 of {title(subject)} is {ap50:.3f}{end}.")


def _weigh(
    measured: float, interval: Optional[Interval], limit: float, pictures: int
) -> Tuple[str, str]:
    """Hold a measured AP50 against its limit; return the outcome and the end of its sentence."""
    if interval is None:
        return INCONCLUSIVE, f", but {pictures} pictures are too few to compare it with {limit:.3f}"
    if not math.isclose(interval.point, measured, abs_tol=SAME_FIGURE):
        return FAIL, f", but its stored predictions give {interval.point:.3f}"
    low, high = min(interval.low, measured), max(interval.high, measured)
    spread = f" (95% interval {low:.3f} to {high:.3f} over {pictures} pictures)"
    if limit <= low:
        return PASS, f"{spread}, at least {limit:.3f}"
    if limit > high:
        return FAIL, f"{spread}, below {limit:.3f}"
    return INCONCLUSIVE, f"{spread}, too uncertain to compare with {limit:.3f}"
