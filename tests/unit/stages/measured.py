"""What a run may have measured, for the gates."""

from collections.abc import Mapping

from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES, Tolerances
from mmdet_jetson.contract.report import EvaluationMetrics
from mmdet_jetson.stages.gates.measured import EvaluatedSubject, Interval, Measured
from mmdet_jetson.stages.proving.deviation import Deviation
from mmdet_jetson.stages.proving.proof import ENGINE, ComparedModel, NetworkComparison, Proof

SURE = Interval(0.9, 0.85, 0.95)
FP32 = DEFAULT_TOLERANCES["fp32"]


def evaluated(
    subject: str = "engine",
    *,
    figures: Mapping[str, float | None] | None = None,
    pictures: int = 20,
    detections: int = 50,
    interval: Interval | None = SURE,
) -> EvaluatedSubject:
    """An evaluation with AP 0.7 and AP50 0.9; ``figures`` replace some of these."""
    metrics = EvaluationMetrics(
        subject=subject,
        evidence="measured",
        preprocessing={},
        figures={"AP": 0.7, "AP50": 0.9, **(figures or {})},
        per_class={},
        pictures=pictures,
        detections=detections,
    )
    return EvaluatedSubject(metrics, interval)


def proven(
    target: str = "pc",
    *,
    tolerances: Tolerances = FP32,
    deviation: Deviation | None = Deviation(matched=100, box=1e-5, score=1e-6),  # noqa: B008
    network: NetworkComparison | None = NetworkComparison(271, ()),  # noqa: B008
    pictures: int = 20,
) -> Proof:
    """A proof of an engine that detects as the checkpoint does."""
    models = {ENGINE: ComparedModel({"AP": 0.7}, deviation)}
    return Proof(target, "measured", tolerances, pictures, models, network)


def measured(
    checkpoint: EvaluatedSubject | None,
    pictures: int = 20,
    proofs: Mapping[str, Proof | None] | None = None,
    **engines: EvaluatedSubject | None,
) -> Measured:
    """What a run has measured: ``engines`` and ``proofs`` by target."""
    return Measured(checkpoint, engines, pictures, proofs or {})
