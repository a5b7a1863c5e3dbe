"""What a report reads and what it decides, as far as both sides speak of it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, Mapping, Optional, Tuple

from mmdet_jetson.contract.conditions import Conditions
from mmdet_jetson.contract.records import ContractError, decode
from mmdet_jetson.contract.samples import PERCENTILES, fewest_samples

BASE, CHECKPOINT, DOCUMENTED = "base", "checkpoint", "documented"
"""What an evaluation can be of besides a target's engine; no target may be called so."""

ACCURACY = "min_AP50"
"""The gate that asks how accurate a detector is, as the others ask what an engine loses."""

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


def not_judged(gates: Iterable[GateResult]) -> str:
    """What a verdict leaves open, "" where there is nothing: a proof alone is not of accuracy."""
    if any(gate.name.startswith(ACCURACY) for gate in gates):
        return ""
    return f"How accurate it is was not judged: [gates] has no {ACCURACY}"


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

    ``samples`` rounds were timed in ``seconds``, 0 where that is not known. ``bounds`` are those of
    the total's percentiles, by "p50", "p90" and "p99". ``gpu`` is the part of the network's time
    between two CUDA events; None where there is no GPU. ``machine`` describes where it was
    measured, ``conditions`` what that was like meanwhile; ``warnings`` say in sentences why that
    machine may be faster than it was.
    """

    backend: str
    precision: str
    samples: int
    warmup: int
    unit: str
    steps: Mapping[str, Spread]
    total: Spread
    gpu: Optional[Spread]
    pictures: int
    machine: Mapping[str, object]
    evidence: str
    warnings: Tuple[str, ...] = ()
    seconds: float = 0.0
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    conditions: Optional[Conditions] = None

    @property
    def not_told(self) -> str:
        """Why no more percentiles are claimed than are; "" where all are."""
        told = {"p90": self.total.p90, "p99": self.total.p99}
        missing = [name for name, value in told.items() if value is None]
        if not missing:
            return ""
        least = fewest_samples(PERCENTILES[missing[0]], 0)
        return f"no {missing[0]}: there are {self.samples} samples, and it asks for {least}"


def profile_of(content: object, where: str = "profile.json") -> ProfileMetrics:
    """Read ``profile.json`` as JSON has it, also as releases before promotion wrote it.

    They called samples repeats, and knew neither bounds nor conditions.

    Raises:
        ContractError: it is neither; says where.
    """
    if isinstance(content, dict) and "repeats" in content:
        content = {"samples" if key == "repeats" else key: content[key] for key in content}
    return decode(ProfileMetrics, content, where)


def read_profile(path: Path) -> ProfileMetrics:
    """Read the file.

    Raises:
        ContractError: as `profile_of`, or it is not JSON.
    """
    try:
        return profile_of(json.loads(path.read_text(encoding="utf-8")), path.name)
    except ValueError as error:
        if isinstance(error, ContractError):
            raise
        raise ContractError(f"{path.name} is not JSON: {error}") from error
