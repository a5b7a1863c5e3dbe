"""The page of a dataset alone: what is in it, what is odd, and the dataset at a glance."""

from typing import Optional

from mmdet_jetson.stages.annotations.glance_file import Glance
from mmdet_jetson.stages.annotations.splitting import SplitRecord
from mmdet_jetson.stages.annotations.summary import DatasetSummary
from mmdet_jetson.stages.reporting.dataset_charts import SPLIT_NAMES
from mmdet_jetson.stages.reporting.dataset_glance import render_glance
from mmdet_jetson.stages.reporting.templates import environment

FILE = "page.html"
MOST_ROWS = 200
"""Classes in the table: of more there are those with the most objects, and a sentence."""


def render(summary: DatasetSummary, glance: Glance, split: Optional[SplitRecord]) -> str:
    """One HTML page that needs nothing beside itself; equal arguments give equal text."""
    totals = {
        name: sum(part.per_class.get(name, 0) for part in summary.splits.values())
        for name in summary.classes
    }
    listed = set(sorted(summary.classes, key=lambda name: -totals[name])[:MOST_ROWS])
    return (
        environment()
        .get_template("dataset_page.html.j2")
        .render(
            summary=summary,
            glance=render_glance(glance),
            input_size=glance.input_size,
            classes=[name for name in summary.classes if name in listed],
            totals=totals,
            split=split,
            split_names=SPLIT_NAMES,
        )
    )
