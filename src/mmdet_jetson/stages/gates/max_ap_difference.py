"""``max_AP_difference``: AP of each engine differs from the checkpoint's by at most a limit.

Both ran over the same pictures, so the choice of pictures cancels and the plain difference decides,
be it a drop or a rise. The gate is inconclusive only where the checkpoint's AP is no higher than
the limit, because then no drop could exceed it.
"""

from typing import List

from mmdet_jetson.contract.report import CHECKPOINT, FAIL, INCONCLUSIVE, PASS, GateResult
from mmdet_jetson.stages.gates.measured import Case, UnusableEvaluationError, title


def judge(case: Case) -> List[GateResult]:
    """Judge the engine of each target."""
    return [_judge(case, target) for target in case.measured.engines]


def _judge(case: Case, target: str) -> GateResult:
    try:
        before = case.measured.figure(CHECKPOINT, "AP")
        after = case.measured.figure(target, "AP")
    except UnusableEvaluationError as reason:
        return case.result(target, FAIL, None, str(reason))
    difference, limit = abs(before - after), case.limit
    compared = f"AP of {title(target)} is {after:.4f} and of the checkpoint {before:.4f}"
    if difference > limit:
        far = f"{compared}: they differ by {difference:.4f}, more than {limit:.4f}."
        return case.result(target, FAIL, difference, far)
    if before <= limit:
        low = f"{compared}: too low for a drop of more than {limit:.4f} to show."
        return case.result(target, INCONCLUSIVE, difference, low)
    near = f"{compared}: they differ by {difference:.4f}, at most {limit:.4f}."
    return case.result(target, PASS, difference, near)
