"""What a run may have measured, for the gates."""

from collections.abc import Mapping

from mmdet_jetson.contract.report import EvaluationMetrics
from mmdet_jetson.stages.gates.evidence import Evidence, Interval, Measured

SURE = Interval(0.9, 0.85, 0.95)


def evidence(
    subject: str = "engine",
    *,
    figures: Mapping[str, float | None] | None = None,
    pictures: int = 20,
    detections: int = 50,
    interval: Interval | None = SURE,
) -> Evidence:
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
    return Evidence(metrics, interval)


def measured(
    checkpoint: Evidence | None, pictures: int = 20, **engines: Evidence | None
) -> Measured:
    """All that a run has measured: ``engines`` by target, without proofs and profiles."""
    nothing = dict.fromkeys(engines)
    return Measured(checkpoint, engines, nothing, nothing, pictures)
