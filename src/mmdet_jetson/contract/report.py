"""What a report reads and what it decides, as far as both sides speak of it."""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.conditions import Conditions

BASE, CHECKPOINT, DOCUMENTED = "base", "checkpoint", "documented"
"""What an evaluation can be of besides a target's engine; no target may be called so."""

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"

PROFILE_STEPS = ("load", "resize", "normalize", "format", "network", "postprocess")
"""What a profile times, in order."""


def input_name(kind: str, subject: str = "") -> str:
    """Name a report's input: its kind, and the target or checkpoint that it is of."""
    return f"{kind}-{subject}" if subject else kind


@dataclass(frozen=True)
class GateResult:
    """A judged gate: ``outcome`` is pass, fail or inconclusive, and ``sentence`` says why."""

    name: str
    outcome: str
    measured: Optional[float]
    limit: float
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """``verdict.json``: what all gates together say."""

    verdict: str
    gates: Tuple[GateResult, ...]

    def sentences(self, outcome: str) -> Tuple[str, ...]:
        """What the gates with this outcome say."""
        return tuple(gate.sentence for gate in self.gates if gate.outcome == outcome)


@dataclass(frozen=True)
class EvaluationMetrics:
    """``metrics.json`` of an evaluation.

    ``subject`` is what was evaluated: base, checkpoint, documented or engine. ``figures`` are the
    12 of COCO, between 0 and 1, None where nothing could be judged; ``per_class`` is AP.
    """

    subject: str
    evidence: str
    preprocessing: Mapping[str, object]
    figures: Mapping[str, Optional[float]]
    per_class: Mapping[str, Optional[float]]
    pictures: int
    detections: int


@dataclass(frozen=True)
class Spread:
    """Mean and percentiles of times, in milliseconds.

    A percentile that the samples do not carry (`contract.samples`) is None.
    """

    mean: float
    p50: float
    p90: Optional[float]
    p99: Optional[float]


@dataclass(frozen=True)
class Bounds:
    """Between which times a percentile lies, in milliseconds, each with 99% confidence.

    ``low`` or ``high`` is None where the samples carry no such bound.
    """

    low: Optional[float]
    high: Optional[float]


@dataclass(frozen=True)
class ProfileMetrics:
    """``profile.json``: the time of each step and of all, in milliseconds.

    ``samples`` rounds were timed in ``seconds``. ``bounds`` are those of the total's percentiles, by
    "p50", "p90" and "p99". ``gpu`` is the part of the network's time between two CUDA events; None
    where there is no GPU. ``machine`` describes where it was measured, ``conditions`` what that was
    like meanwhile; ``warnings`` say in sentences why that machine may be faster than it was.
    """

    backend: str
    precision: str
    samples: int
    seconds: float
    warmup: int
    unit: str
    steps: Mapping[str, Spread]
    total: Spread
    gpu: Optional[Spread]
    pictures: int
    machine: Mapping[str, object]
    evidence: str
    warnings: Tuple[str, ...] = ()
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    conditions: Optional[Conditions] = None
