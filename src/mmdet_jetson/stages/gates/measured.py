"""What gates judge by, and what makes an evaluation prove nothing."""

from dataclasses import dataclass, field
from typing import Mapping, Optional

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.report import CHECKPOINT, EvaluationMetrics, GateResult
from mmdet_jetson.stages.proving.proof import Proof


@dataclass(frozen=True)
class Interval:
    """AP50 of a set of pictures, and the 95% interval over resamples of those pictures."""

    point: float
    low: float
    high: float


@dataclass(frozen=True)
class EvaluatedSubject:
    """What one evaluation found. ``ap50_interval`` is None where there are too few pictures."""

    metrics: EvaluationMetrics
    ap50_interval: Optional[Interval] = None


class UnusableEvaluationError(Exception):
    """What makes an evaluation prove nothing, as a sentence: whatever rests on it fails."""


@dataclass(frozen=True)
class Measured:
    """What a run has measured of accuracy; None stands for what is missing.

    ``engines`` and ``proofs`` are by target. ``pictures`` is the size of the validation set, which
    every evaluation and every proof must have covered.
    """

    checkpoint: Optional[EvaluatedSubject]
    engines: Mapping[str, Optional[EvaluatedSubject]]
    pictures: int
    proofs: Mapping[str, Optional[Proof]] = field(default_factory=dict)

    def evaluated(self, subject: str) -> Optional[EvaluatedSubject]:
        """What was found about the checkpoint, or about the engine for a target."""
        return self.checkpoint if subject == CHECKPOINT else self.engines[subject]

    def figure(self, subject: str, name: str) -> float:
        """One of COCO's figures of the checkpoint, or of the engine for a target.

        Raises:
            UnusableEvaluationError: there is no such number from 0 to 1, or the evaluation is of
                something else, of other pictures than the validation set's, or without a detection.
        """
        who, evaluated = title(subject), self.evaluated(subject)
        if evaluated is None:
            raise UnusableEvaluationError(f"There is no evaluation of {who}.")
        metrics = evaluated.metrics
        if metrics.subject != (CHECKPOINT if subject == CHECKPOINT else "engine"):
            raise UnusableEvaluationError(
                f"The evaluation given for {who} is one of the {metrics.subject}."
            )
        if metrics.pictures != self.pictures or self.pictures < 1:
            raise UnusableEvaluationError(
                f"The evaluation of {who} covers {metrics.pictures} pictures, "
                f"but the validation set has {self.pictures}."
            )
        if metrics.detections < 1:
            raise UnusableEvaluationError(f"The evaluation of {who} contains no detections.")
        value = metrics.figures.get(name)
        if value is None or not 0 <= value <= 1:
            raise UnusableEvaluationError(
                f"{name} of {who} is missing or not a number between 0 and 1."
            )
        return value


@dataclass(frozen=True)
class Case:
    """What one gate has to judge: its name and limit in ``[gates]``, and all that was measured.

    ``tolerances`` are the proof's limits, by the target whose engine has to be proven.
    """

    gate: str
    limit: float
    measured: Measured
    tolerances: Mapping[str, Tolerances] = field(default_factory=dict)

    def result(
        self, subject: str, outcome: str, measured: Optional[float], sentence: str
    ) -> GateResult:
        """Give a result of this gate about the checkpoint, or about the engine for a target."""
        return GateResult(f"{self.gate}:{subject}", outcome, measured, self.limit, sentence)


def title(subject: str) -> str:
    """What sentences call the checkpoint, or the engine for a target."""
    return "the checkpoint" if subject == CHECKPOINT else f"the engine for {subject}"
