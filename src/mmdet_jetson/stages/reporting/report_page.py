"""The page of a report: shapes what was measured for ``report_page.html.j2`` and renders it."""

import base64
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import cv2
import jinja2

from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.report import BASE, CHECKPOINT, FAIL, INCONCLUSIVE, PASS, GateResult
from mmdet_jetson.stages.reporting.charts import Chart, draw_chart
from mmdet_jetson.stages.reporting.subjects import Subject

PICTURE_WIDTH = 480
JPEG_QUALITY = 82

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

STEPS = ("load", "resize", "normalize", "format", "network", "postprocess")

CURVES = {
    "train": (
        Chart("Loss", x="step", y=["loss"], x_label="iteration"),
        Chart("Learning rate", x="step", y=["lr"], x_label="iteration"),
    ),
    "val": (Chart("AP", "epoch", ["AP", "AP50"], x_label="epoch", markers=True, unit_range=True),),
}


def render(
    *,
    name: str,
    verdict: str,
    gates: Sequence[GateResult],
    subjects: Sequence[Subject],
    summary: Mapping[str, Any],
    training: Mapping[str, Any],
    artifacts: Sequence[ArtifactSummary],
) -> str:
    """One HTML page that needs nothing beside itself: no file, no network, no script.

    ``summary`` is the dataset's ``summary.json``, ``training`` the checkpoint's ``metrics.json``,
    ``artifacts`` the provenance of everything the run made. Equal arguments give equal text.
    """
    return (
        _environment()
        .get_template("report_page.html.j2")
        .render(
            name=name,
            verdict=verdict,
            gates=sorted(gates, key=lambda gate: WORST_FIRST.index(gate.outcome)),
            subjects=subjects,
            engines=[subject for subject in subjects if subject.is_engine],
            checkpoint=next(subject for subject in subjects if subject.name == CHECKPOINT),
            meanings=FIGURE_MEANINGS,
            classes=summary.get("classes", []),
            summary=summary,
            training=training,
            preprocessing=_preprocessing(subjects),
            charts=_charts(training.get("curves", {})),
            pictures=_pictures([subject for subject in subjects if subject.name != BASE]),
            latencies=_latencies(subjects),
            artifacts=artifacts,
            finished=max((artifact.created for artifact in artifacts), default=None),
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        # Not by file extension: every value of every template is text from somewhere else.
        autoescape=True,
        loader=jinja2.FileSystemLoader(str(Path(__file__).parent)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, difference=difference, filesize=filesize, duration=duration, fact=fact
    )
    return environment


def number(value: Any, digits: int = 3) -> str:
    """A figure with a fixed number of decimals; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}"


def difference(value: Any, reference: Any) -> str:
    """The signed difference of two figures, with four decimals; a dash where one is missing."""
    if "–" in (number(value), number(reference)):
        return "–"
    text = f"{value - reference:+.4f}"
    return "0.0000" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def filesize(size: Any) -> str:
    """A number of bytes in the unit that suits it (1 kB = 1000 bytes)."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} B"


def duration(seconds: Any) -> str:
    """Seconds as people say them."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def fact(value: Any) -> str:
    """A fact about a machine or a setting, whatever its type."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _charts(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> List[Dict[str, Any]]:
    drawn = [
        {"title": chart.title, "svg": draw_chart(chart, curves.get(kind, []))}
        for kind, charts in CURVES.items()
        for chart in charts
    ]
    return [chart for chart in drawn if chart["svg"] is not None]


def _latencies(subjects: Sequence[Subject]) -> List[Dict[str, Any]]:
    """Bars of all targets on one scale. Means are stacked because percentiles do not add up."""
    profiled = [subject for subject in subjects if subject.profile]
    longest = max((subject.profile["total"]["mean"] for subject in profiled), default=1.0)
    latencies = []
    for subject in profiled:
        steps, start = [], 0.0
        for step in STEPS:
            times = subject.profile["steps"].get(step)
            if times is not None:
                width = 100 * times["mean"] / longest
                steps.append({"name": step, "times": times, "start": start, "width": width})
                start += width
        latencies.append({"subject": subject, "profile": subject.profile, "steps": steps})
    return latencies


def _preprocessing(subjects: Sequence[Subject]) -> Dict[str, List[str]]:
    """What was done to pictures -> for which subjects: one entry where all agree."""
    groups: Dict[str, List[str]] = {}
    for subject in subjects:
        steps = subject.metrics.get("preprocessing") or {}
        text = "; ".join(f"{key.replace('_', ' ')} {fact(steps[key])}" for key in sorted(steps))
        if text:
            groups.setdefault(text, []).append(subject.title)
    return groups


def _pictures(subjects: Sequence[Subject]) -> List[Dict[str, Any]]:
    """Rows of pictures, one column a subject; the ``output`` pair only where no row repeats it."""
    titles = [subject.title for subject in subjects if subject.evaluation]
    folders = [subject.evaluation for subject in subjects if subject.evaluation]
    names = sorted({path.name for folder in folders for path in folder.glob("pictures/*.jpg")})
    rows = [
        _row(Path(name).stem, titles, [folder / "pictures" / name for folder in folders])
        for name in names
    ]
    outputs = [next(iter(sorted(folder.glob("output_*.jpg"))), None) for folder in folders]
    first = _row("First picture", titles, outputs)
    if all(row["cells"] != first["cells"] for row in rows):
        rows.insert(0, first)
    return [row for row in rows if any(cell["uri"] for cell in row["cells"])]


def _row(caption: str, titles: Sequence[str], paths: Sequence[Optional[Path]]) -> Dict[str, Any]:
    cells = [{"title": title, "uri": _data_uri(path)} for title, path in zip(titles, paths)]
    return {"caption": caption, "cells": cells}


def _data_uri(path: Optional[Path]) -> Optional[str]:
    picture = cv2.imread(str(path)) if path is not None and path.is_file() else None
    if picture is None:
        return None
    height, width = picture.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
