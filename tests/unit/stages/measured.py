"""What a run may have measured, for the gates."""

from collections.abc import Mapping

from mmdet_jetson.contract.report import EvaluationMetrics
from mmdet_jetson.stages.gates.measured import EvaluatedSubject, Interval, Measured

SURE = Interval(0.9, 0.85, 0.95)


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


def measured(
    checkpoint: EvaluatedSubject | None, pictures: int = 20, **engines: EvaluatedSubject | None
) -> Measured:
    """What a run has measured: ``engines`` by target."""
    return Measured(checkpoint, engines, pictures)
