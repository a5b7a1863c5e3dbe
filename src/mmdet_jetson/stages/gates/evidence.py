"""Gates: checks of the evidence that pass, fail or are inconclusive. Pure: no files, no clock.

Two gates exist. ``min_AP50`` asks of the checkpoint and of each engine that AP50 reaches a limit.
``max_AP_difference`` asks of each engine that its AP differs from the checkpoint's by at most a
limit.

A gate passes on evidence alone: a figure that is missing, null or not a number fails it, and so
does an evaluation of the wrong subject, of another set of pictures, or without one detection.

When is a gate inconclusive? ``min_AP50`` is a claim about pictures to come, judged on a sample of
them: where the 95% interval over resampled pictures holds the limit, or the pictures are too few
for an interval, the sample cannot tell. ``max_AP_difference`` compares two runs over the same
pictures, so the choice of pictures cancels and the plain difference decides; it is inconclusive
only where the checkpoint's AP is no higher than the limit, because then no drop could exceed it.
"""

import math
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from mmdet_jetson.contract.choices import GATES
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS, GateResult

# How far AP50 recomputed from the stored predictions may lie from the stored figure.
SAME_FIGURE = 1e-3


@dataclass(frozen=True)
class Interval:
    """AP50 of a set of pictures, and the 95% interval over resamples of those pictures."""

    point: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """What one evaluation found. ``interval`` is None where the pictures are too few for one."""

    subject: str
    figures: Mapping[str, Any]
    pictures: int
    detections: int
    interval: Optional[Interval] = None


def judge(
    limits: Mapping[str, Optional[float]],
    checkpoint: Optional[Evidence],
    engines: Mapping[str, Optional[Evidence]],
    pictures: int,
) -> List[GateResult]:
    """Judge every gate that has a limit.

    ``engines`` maps each target to its evidence; None stands for an evaluation that is missing.
    ``pictures`` is the size of the validation set that every evaluation must have covered.
    Raises ValueError for a gate that does not exist: one that is skipped would look passed.
    """
    unknown = sorted(set(limits) - set(GATES))
    if unknown:
        raise ValueError(f"unknown gate {unknown[0]!r}; the gates are {', '.join(GATES)}")
    gates: List[GateResult] = []
    floor, drop = limits.get("min_AP50"), limits.get("max_AP_difference")
    if floor is not None:
        gates.append(_min_ap50("checkpoint", checkpoint, floor, pictures))
        gates.extend(_min_ap50(target, engines[target], floor, pictures) for target in engines)
    if drop is not None:
        gates.extend(
            _max_drop(target, checkpoint, engines[target], drop, pictures) for target in engines
        )
    return gates


def verdict(gates: Sequence[GateResult]) -> str:
    """Any failed gate fails the whole; nothing judged is inconclusive, never a pass."""
    outcomes = {gate.outcome for gate in gates}
    if FAIL in outcomes:
        return FAIL
    return PASS if outcomes == {PASS} else INCONCLUSIVE


def _min_ap50(
    subject: str, evidence: Optional[Evidence], limit: float, pictures: int
) -> GateResult:
    name, who = f"min_AP50:{subject}", _who(subject)
    problem = _problem(who, subject, evidence, "AP50", pictures)
    if problem or evidence is None:
        return GateResult(name, FAIL, None, limit, problem)
    measured = float(evidence.figures["AP50"])
    outcome, reason = _weigh(measured, evidence.interval, limit, pictures)
    return GateResult(name, outcome, measured, limit, f"AP50 of {who} is {measured:.3f}{reason}.")


def _weigh(
    measured: float, interval: Optional[Interval], limit: float, pictures: int
) -> Tuple[str, str]:
    """Hold a measured AP50 against its limit; return the outcome and the end of its sentence."""
    if interval is None:
        return INCONCLUSIVE, f", but {pictures} pictures are too few to hold it against {limit:.3f}"
    if not math.isclose(interval.point, measured, abs_tol=SAME_FIGURE):
        return FAIL, f", but its stored predictions give {interval.point:.3f}"
    low, high = min(interval.low, measured), max(interval.high, measured)
    spread = f" (95% interval {low:.3f} to {high:.3f} over {pictures} pictures)"
    if limit <= low:
        return PASS, f"{spread}, at least {limit:.3f}"
    if limit > high:
        return FAIL, f"{spread}, below {limit:.3f}"
    return INCONCLUSIVE, f"{spread}, too uncertain to hold against {limit:.3f}"


def _max_drop(
    target: str,
    checkpoint: Optional[Evidence],
    engine: Optional[Evidence],
    limit: float,
    pictures: int,
) -> GateResult:
    name, who = f"max_AP_difference:{target}", _who(target)
    problem = _problem(_who("checkpoint"), "checkpoint", checkpoint, "AP", pictures) or _problem(
        who, target, engine, "AP", pictures
    )
    if problem or checkpoint is None or engine is None:
        return GateResult(name, FAIL, None, limit, problem)
    before, after = float(checkpoint.figures["AP"]), float(engine.figures["AP"])
    difference = abs(before - after)
    compared = f"AP of {who} is {after:.4f} and of the checkpoint {before:.4f}"
    if difference > limit:
        far = f"{compared}: {difference:.4f} apart, more than {limit:.4f}."
        return GateResult(name, FAIL, difference, limit, far)
    if before <= limit:
        low = f"{compared}: too low for a drop of more than {limit:.4f} to show."
        return GateResult(name, INCONCLUSIVE, difference, limit, low)
    near = f"{compared}: {difference:.4f} apart, at most {limit:.4f}."
    return GateResult(name, PASS, difference, limit, near)


def _problem(
    who: str, subject: str, evidence: Optional[Evidence], figure: str, pictures: int
) -> str:
    """Say in one sentence why ``evidence`` proves nothing, or nothing at all where it does."""
    if evidence is None:
        return f"There is no evaluation of {who}."
    value = evidence.figures.get(figure)
    if evidence.subject != ("checkpoint" if subject == "checkpoint" else "engine"):
        return f"The evaluation given for {who} is one of the {evidence.subject}."
    if evidence.pictures != pictures or pictures < 1:
        covered = f"covers {evidence.pictures} pictures"
        return f"The evaluation of {who} {covered}, but the validation set has {pictures}."
    if evidence.detections < 1:
        return f"The evaluation of {who} holds no detection."
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        return f"{figure} of {who} is missing or not a number between 0 and 1."
    return ""


def _who(subject: str) -> str:
    return "the checkpoint" if subject == "checkpoint" else f"the engine for {subject}"
