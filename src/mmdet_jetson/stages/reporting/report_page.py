"""The page of a report: shapes what was measured for ``report_page.html.j2`` and renders it."""

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import cv2
import jinja2
from markupsafe import Markup

from mmdet_jetson.contract.conditions import conditions_told
from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.report import (
    BASE,
    CHECKPOINT,
    FAIL,
    INCONCLUSIVE,
    PASS,
    PROFILE_STEPS,
    GateResult,
    ProfileMetrics,
    Spread,
)
from mmdet_jetson.stages.annotations.summary import DatasetSummary
from mmdet_jetson.stages.plain_numbers import number, plain
from mmdet_jetson.stages.reporting.charts import Chart, draw_chart
from mmdet_jetson.stages.reporting.subjects import Subject
from mmdet_jetson.stages.reporting.training import Training

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

CURVES = {
    "train": (
        Chart("Loss", x="step", y=["loss"], x_label="iteration"),
        Chart("Learning rate", x="step", y=["lr"], x_label="iteration"),
    ),
    "val": (Chart("AP", "epoch", ["AP", "AP50"], x_label="epoch", markers=True, unit_range=True),),
}


@dataclass(frozen=True)
class DrawnChart:
    """A chart as SVG, and its caption."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class LatencyStep:
    """A step's part of a bar: where it starts and how wide it is, in percent of the longest bar."""

    name: str
    times: Spread
    start: float
    width: float


@dataclass(frozen=True)
class Latency:
    """The bar of one engine."""

    subject: Subject
    profile: ProfileMetrics
    steps: Tuple[LatencyStep, ...]

    @property
    def conditions(self) -> Dict[str, str]:
        """What the machine was like meanwhile, by headings."""
        return conditions_told(self.profile.conditions) if self.profile.conditions else {}


@dataclass(frozen=True)
class Cell:
    """What one subject detects on a picture, as a data URI; None where it was not drawn."""

    title: str
    uri: Optional[str]


@dataclass(frozen=True)
class PictureRow:
    """One picture, as each subject detects on it."""

    caption: str
    cells: Tuple[Cell, ...]


def render(
    *,
    name: str,
    verdict: str,
    gates: Sequence[GateResult],
    subjects: Sequence[Subject],
    summary: Optional[DatasetSummary],
    training: Optional[Training],
    artifacts: Sequence[ArtifactSummary],
) -> str:
    """One HTML page that needs nothing beside itself: no file, no network, no script.

    ``summary`` is the dataset's, ``training`` the checkpoint's, ``artifacts`` the provenance of
    everything the run made. Equal arguments give equal text.
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
            classes=summary.classes if summary else (),
            summary=summary,
            training=training,
            preprocessing=_preprocessing(subjects),
            charts=_charts(training["curves"] if training else {}),
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


def difference(value: Optional[float], reference: Optional[float]) -> str:
    """The signed difference of two figures, with four decimals; a dash where one is missing."""
    apart = math.nan if value is None or reference is None else value - reference
    if not math.isfinite(apart):
        return "–"
    text = f"{apart:+.4f}"
    return "0.0000" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def filesize(size: int) -> str:
    """A number of bytes in the unit that suits it (1 kB = 1000 bytes)."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 0.99995 * 10**power:  # else it would round to 1000.0 of the unit below
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} B"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def fact(value: object) -> str:
    """A fact about a machine or a setting, whatever its type."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(item) for item in value)
    return plain(value) if isinstance(value, float) else str(value)


def _charts(curves: Mapping[str, Sequence[Mapping[str, Optional[float]]]]) -> List[DrawnChart]:
    drawn = [
        (chart.title, draw_chart(chart, curves.get(kind, [])))
        for kind, charts in CURVES.items()
        for chart in charts
    ]
    return [DrawnChart(title, svg) for title, svg in drawn if svg is not None]


def _latencies(subjects: Sequence[Subject]) -> List[Latency]:
    """Bars of all targets on one scale. Means are stacked because percentiles do not add up."""
    profiled = [(subject, subject.profile) for subject in subjects if subject.profile]
    longest = max((profile.total.mean for _, profile in profiled), default=1.0)
    return [
        Latency(subject, profile, tuple(_latency_steps(profile, longest)))
        for subject, profile in profiled
    ]


def _latency_steps(profile: ProfileMetrics, longest: float) -> List[LatencyStep]:
    steps, start = [], 0.0
    for name in PROFILE_STEPS:
        times = profile.steps.get(name)
        if times is not None:
            width = 100 * times.mean / longest
            steps.append(LatencyStep(name, times, start, width))
            start += width
    return steps


def _preprocessing(subjects: Sequence[Subject]) -> Dict[str, List[str]]:
    """What was done to pictures -> for which subjects: one entry where all agree."""
    groups: Dict[str, List[str]] = {}
    for subject in subjects:
        steps = subject.metrics.preprocessing if subject.metrics else {}
        text = "; ".join(f"{key.replace('_', ' ')} {fact(steps[key])}" for key in sorted(steps))
        if text:
            groups.setdefault(text, []).append(subject.title)
    return groups


def _pictures(subjects: Sequence[Subject]) -> List[PictureRow]:
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
    if all(row.cells != first.cells for row in rows):
        rows.insert(0, first)
    return [row for row in rows if any(cell.uri for cell in row.cells)]


def _row(caption: str, titles: Sequence[str], paths: Sequence[Optional[Path]]) -> PictureRow:
    return PictureRow(caption, tuple(Cell(t, _data_uri(path)) for t, path in zip(titles, paths)))


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
