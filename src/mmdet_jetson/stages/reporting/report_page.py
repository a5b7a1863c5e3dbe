"""The page of a report: shapes what was measured for ``report_page.html.j2`` and renders it.

A section that takes more than a few lines has a module of its own, with its template beside it.
"""

import base64
import hashlib
from typing import Dict, List, Optional, Sequence, Tuple

import jinja2
from markupsafe import Markup

from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.report import (
    BASE,
    CHECKPOINT,
    FAIL,
    INCONCLUSIVE,
    PASS,
    GateResult,
    not_judged,
)
from mmdet_jetson.stages.annotations.summary import DatasetSummary
from mmdet_jetson.stages.plain_numbers import number
from mmdet_jetson.stages.reporting import page_text, templates
from mmdet_jetson.stages.reporting.album import Album
from mmdet_jetson.stages.reporting.analysed import MISSING, all_analysed, looked_into
from mmdet_jetson.stages.reporting.charts import charts_there
from mmdet_jetson.stages.reporting.compared import Side, compared_section, this_side
from mmdet_jetson.stages.reporting.drawn_pictures import drawn_pictures
from mmdet_jetson.stages.reporting.errors_section import errors_section
from mmdet_jetson.stages.reporting.latency import latencies
from mmdet_jetson.stages.reporting.pictures_section import pictures_section
from mmdet_jetson.stages.reporting.precision_section import precision_section
from mmdet_jetson.stages.reporting.subjects import Subject
from mmdet_jetson.stages.reporting.threshold_section import threshold_section
from mmdet_jetson.stages.reporting.training import Training, training_charts

FIGURE_MEANINGS = {
    "AP": "IoU 0.50 to 0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "AP_small": "objects under 32² px",
    "AP_medium": "32² to 96² px",
    "AP_large": "over 96² px",
    "AR_1": "recall, 1 detection a picture",
    "AR_10": "10 detections",
    "AR_100": "100 detections",
    "AR_small": "recall, objects under 32² px",
    "AR_medium": "32² to 96² px",
    "AR_large": "over 96² px",
}

WORST_FIRST = (FAIL, INCONCLUSIVE, PASS)

SECTIONS = (
    ("accuracy", "Accuracy"),
    ("compared", "Beside other runs"),
    ("threshold", "Score threshold"),
    ("precision-recall", "Precision and recall"),
    ("errors", "What goes wrong"),
    ("worst", "Worst pictures"),
    ("all-pictures", "Every picture"),
    ("proof", "Proof"),
    ("training", "Training"),
    ("pictures", "Pictures side by side"),
    ("latency", "Latency"),
    ("dataset", "Dataset"),
    ("provenance", "Provenance"),
)
"""The contents, by id: what the page has not is left out."""


def render(
    *,
    name: str,
    verdict: str,
    gates: Sequence[GateResult],
    subjects: Sequence[Subject],
    summary: Optional[DatasetSummary],
    training: Optional[Training],
    artifacts: Sequence[ArtifactSummary],
    compared: Sequence[Side] = (),
    glance: Optional[Markup] = None,
) -> str:
    """One HTML page that needs nothing beside itself: no file, no network.

    Its one script searches and sorts the table of pictures, and nothing is missing without it.
    ``summary`` and ``glance`` are the dataset's, ``training`` the checkpoint's, ``artifacts`` the
    provenance of everything the run made, ``compared`` other runs. Equal arguments give equal text.
    """
    environment = _environment()
    script = environment.get_template("report_page.script.js.j2").render()
    context: Dict[str, object] = {
        "name": name,
        "verdict": verdict,
        "gates": sorted(gates, key=lambda gate: WORST_FIRST.index(gate.outcome)),
        "not_judged": not_judged(gates),
        "subjects": subjects,
        "engines": [subject for subject in subjects if subject.is_engine],
        "checkpoint": next(subject for subject in subjects if subject.name == CHECKPOINT),
        "meanings": FIGURE_MEANINGS,
        "classes": summary.classes if summary else (),
        "summary": summary,
        "glance": glance,
        "training": training,
        "preprocessing": _preprocessing(subjects),
        "charts": training_charts(training),
        "latencies": latencies(subjects),
        "artifacts": artifacts,
        "finished": max((artifact.created for artifact in artifacts), default=None),
        "charts_there": charts_there(),
        "compared": compared_section(this_side(name, subjects, training, artifacts), compared),
        "script": Markup(script),  # noqa: S704 - a file of ours
        "script_digest": _digest(script),
        **_looked_into(subjects, Album()),
    }
    context["contents"] = _contents(context, subjects)
    return environment.get_template("report_page.html.j2").render(context)


def _looked_into(subjects: Sequence[Subject], album: Album) -> Dict[str, object]:
    """The sections that ask what is behind the figures, of what is deployed; then the drawings."""
    analysed = all_analysed(subjects)
    main = looked_into(analysed)
    return {
        "threshold": threshold_section(main, analysed) if main else None,
        "precision": precision_section(main) if main else None,
        "errors": errors_section(main) if main else None,
        "worst": pictures_section(main, album) if main else None,
        "not_analysed": "" if main else MISSING,
        "drawn": drawn_pictures([each for each in subjects if each.name != BASE], album),
    }


def _contents(context: Dict[str, object], subjects: Sequence[Subject]) -> List[Tuple[str, str]]:
    there = {
        "compared": context["compared"],
        "threshold": True,
        **dict.fromkeys(("precision-recall", "errors", "worst", "all-pictures"), context["worst"]),
        "proof": any(each.proof for each in subjects),
        "training": context["training"],
    }
    return [(anchor, title) for anchor, title in SECTIONS if there.get(anchor, True)]


def _digest(script: str) -> str:
    """What the page's policy lets run, as a browser computes it: this script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _environment() -> jinja2.Environment:
    environment = templates.environment()
    environment.filters.update(
        number=number,
        difference=page_text.difference,
        filesize=page_text.filesize,
        duration=page_text.duration,
        fact=page_text.fact,
        exact=page_text.exact,
        percent=page_text.percent,
        count=page_text.count,
        capitalize_first=lambda text: text[:1].upper() + text[1:],
    )
    return environment


def _preprocessing(subjects: Sequence[Subject]) -> Dict[str, List[str]]:
    """What was done to pictures -> for which subjects: one entry where all agree."""
    groups: Dict[str, List[str]] = {}
    for subject in subjects:
        steps = subject.metrics.preprocessing if subject.metrics else {}
        text = "; ".join(
            f"{key.replace('_', ' ')} {page_text.fact(steps[key])}" for key in sorted(steps)
        )
        if text:
            groups.setdefault(text, []).append(subject.title)
    return groups
