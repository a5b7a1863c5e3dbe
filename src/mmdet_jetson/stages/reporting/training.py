"""What a report shows of a training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, TypedDict

from markupsafe import Markup

from mmdet_jetson.stages.reporting.chart_kinds import Chart
from mmdet_jetson.stages.reporting.charts import draw_chart

CURVES = {
    "train": (
        Chart("Loss", "step", ["loss"], "iteration", y_label="loss"),
        Chart("Learning rate", "step", ["lr"], "iteration", y_label="learning rate"),
    ),
    "val": (
        Chart(
            "AP",
            "epoch",
            ["AP", "AP50"],
            "epoch",
            markers=True,
            unit_range=True,
            y_label="average precision (0 to 1)",
        ),
    ),
}


class BestEpoch(TypedDict):
    """The epoch whose checkpoint is used, and its AP in the training's own validation."""

    epoch: int
    AP: Optional[float]


class Training(TypedDict):
    """``metrics.json`` of a `checkpoint` artifact.

    ``curves`` are records of numbers, in order: "train" by step, "val" by epoch.
    """

    best: BestEpoch
    epochs: int
    curves: Mapping[str, List[Mapping[str, Optional[float]]]]
    device: str


def read_training(checkpoint: Optional[Path]) -> Optional[Training]:
    """Read how a checkpoint was trained; None where it does not tell, or is not at hand.

    One that was taken as it came tells nothing.
    """
    path = checkpoint / "metrics.json" if checkpoint else None
    if path is None or not path.is_file():
        return None
    training: Training = json.loads(path.read_text(encoding="utf-8"))
    return training if "curves" in training else None  # else it was taken as it is


@dataclass(frozen=True)
class DrawnChart:
    """A chart as SVG, and its caption."""

    title: str
    svg: Markup


def training_charts(training: Optional[Training]) -> List[DrawnChart]:
    """The curves that were recorded."""
    curves = training["curves"] if training else {}
    drawn = [
        (chart.title, draw_chart(chart, curves.get(kind, [])))
        for kind, charts in CURVES.items()
        for chart in charts
    ]
    return [DrawnChart(title, svg) for title, svg in drawn if svg is not None]
