"""Other runs beside this one: their figures, curves, thresholds, errors and times."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from mmdet_jetson.contract.analysis import ERROR_TYPES, Analysis
from mmdet_jetson.contract.job import ArtifactSummary
from mmdet_jetson.contract.parameters.report import ComparedRun, compared_input
from mmdet_jetson.contract.report import CHECKPOINT
from mmdet_jetson.stages.reporting.analysed import all_analysed, looked_into
from mmdet_jetson.stages.reporting.chart_kinds import BarChart, LineChart, Point, Series
from mmdet_jetson.stages.reporting.charts import draw_bars, draw_lines, points_of
from mmdet_jetson.stages.reporting.page_text import count
from mmdet_jetson.stages.reporting.precision_section import mean_precision, recall_series
from mmdet_jetson.stages.reporting.subjects import Subject, read_subjects
from mmdet_jetson.stages.reporting.threshold_section import score_points
from mmdet_jetson.stages.reporting.training import DrawnChart, Training, read_training

ERRORS = BarChart("AP50 lost of each run", "type of error", "AP50 lost (0 to 1)", (), {})
LATENCY = BarChart("Latency of each run", "engine", "mean time a picture (ms)", (), {}, digits=1)


@dataclass(frozen=True)
class Side:
    """A run as the comparison shows it.

    ``validation`` is the digest of its validation pictures, ``origin`` that of its checkpoint; ""
    where they are not known.
    """

    name: str
    subjects: Tuple[Subject, ...]
    training: Optional[Training]
    validation: str
    origin: str = ""
    is_this: bool = False

    @property
    def analysis(self) -> Optional[Analysis]:
        """What is known of what it deploys: an engine, else its checkpoint."""
        found = looked_into(all_analysed(self.subjects))
        return found.analysis if found else None


@dataclass(frozen=True)
class ComparedSection:
    """``classes`` has AP of each class by run; ``errors`` AP50 lost by type and run."""

    sides: Tuple[Side, ...]
    warnings: Tuple[str, ...]
    charts: Tuple[DrawnChart, ...]
    classes: Tuple[Tuple[str, Tuple[Optional[float], ...]], ...]
    errors: Tuple[Tuple[str, Tuple[Optional[float], ...]], ...]


def this_side(
    name: str,
    subjects: Sequence[Subject],
    training: Optional[Training],
    artifacts: Sequence[ArtifactSummary],
) -> Side:
    """The run that the report is of."""
    read = [each.inputs.get("dataset", "") for each in artifacts if each.kind == "evaluation"]
    digest = next(filter(None, read), "")
    trained = next((each.digest for each in artifacts if each.kind == "checkpoint"), "")
    return Side(name, tuple(subjects), training, digest, trained, is_this=True)


def read_sides(inputs: Mapping[str, Path], runs: Sequence[ComparedRun]) -> List[Side]:
    """The runs to compare with, each from the inputs that are its own."""
    return [_read_side(inputs, number, run) for number, run in enumerate(runs)]


def compared_section(this: Side, others: Sequence[Side]) -> Optional[ComparedSection]:
    """Shape the section; None where there is nothing to compare with."""
    if not others:
        return None
    sides = (this, *others)
    return ComparedSection(
        sides=sides,
        warnings=tuple(filter(None, (_warning(this, other) for other in others))),
        charts=tuple(_charts(sides)),
        classes=_classes(sides),
        errors=_errors(sides),
    )


def _read_side(inputs: Mapping[str, Path], number: int, run: ComparedRun) -> Side:
    prefix = compared_input(number, "")
    own = {name[len(prefix) :]: path for name, path in inputs.items() if name.startswith(prefix)}
    subjects = tuple(read_subjects(own, run.targets))
    training = read_training(own.get("checkpoint"))
    return Side(run.name, subjects, training, run.validation, run.origin)


def _warning(this: Side, other: Side) -> str:
    """Why figures of two runs are not comparable, or need no comparison; "" where they are."""
    if this.origin and this.origin == other.origin:
        return f"{other.name} is the very training that this report is of."
    if this.validation and this.validation == other.validation:
        return ""
    if not (this.validation and other.validation):
        return (
            f"Whether {this.name} and {other.name} were evaluated on the same validation pictures "
            "is not known: their figures may not be comparable."
        )
    return (
        f"{this.name} and {other.name} were evaluated on different validation pictures or labels"
        f"{_shared(this.analysis, other.analysis)}: a difference of their figures need not be one "
        "of the detectors."
    )


def _shared(one: Optional[Analysis], other: Optional[Analysis]) -> str:
    if one is None or other is None:
        return ""
    mine, theirs = ({each.name for each in side.pictures} for side in (one, other))
    both = len(mine & theirs)
    return f" ({len(mine)} and {count(len(theirs), 'picture')}, {both} with one name)"


def _charts(sides: Sequence[Side]) -> List[DrawnChart]:
    drawn = [
        _lines("Training loss", "iteration", "loss", sides, lambda s: _curve(s, "train", "loss")),
        _lines(
            "AP while training", "epoch", "AP (0 to 1)", sides, lambda s: _curve(s, "val", "AP")
        ),
        _lines("Mean precision over recall", "recall (0 to 1)", "precision (0 to 1)", sides, _mean),
        _lines(
            "F1 over the score of each run", "score threshold (0 to 1)", "F1 (0 to 1)", sides, _f1
        ),
        _bars(ERRORS, _errors(sides), sides),
        _bars(LATENCY, _latencies(sides), sides),
    ]
    return [each for each in drawn if each]


def _lines(
    title: str,
    x_label: str,
    y_label: str,
    sides: Sequence[Side],
    points: Callable[[Side], Sequence[Point]],
) -> Optional[DrawnChart]:
    """One line a run, where another than this has any; a run keeps its colour without others."""
    series = [Series(each.name, points(each)) for each in sides]
    if not any(each.points for each in series[1:]):
        return None
    unit = x_label.endswith("(0 to 1)")
    svg = draw_lines(
        LineChart(
            title,
            x_label,
            y_label,
            series,
            unit_x=unit,
            unit_y="0 to 1" in y_label,
            markers=x_label == "epoch",
        )
    )
    return DrawnChart(title, svg) if svg else None


def _curve(side: Side, kind: str, figure: str) -> List[Point]:
    records = side.training["curves"].get(kind, []) if side.training else []
    return points_of(records, "step" if kind == "train" else "epoch", figure)


def _mean(side: Side) -> Sequence[Point]:
    return recall_series("", mean_precision(side.analysis)).points if side.analysis else ()


def _f1(side: Side) -> Sequence[Point]:
    return score_points(side.analysis.together, "f1") if side.analysis else ()


def _bars(
    chart: BarChart, rows: Sequence[Tuple[str, Sequence[Optional[float]]]], sides: Sequence[Side]
) -> Optional[DrawnChart]:
    """A group of bars for each of the rows, one a run; ``chart`` has neither yet."""
    series = {side.name: [values[at] for _, values in rows] for at, side in enumerate(sides)}
    svg = draw_bars(replace(chart, groups=[name for name, _ in rows], series=series))
    return DrawnChart(chart.title, svg) if svg else None


def _latencies(sides: Sequence[Side]) -> List[Tuple[str, List[Optional[float]]]]:
    """The mean time of each engine that a run has: targets of one name stand together."""
    times: Dict[str, List[Optional[float]]] = {}
    for at, side in enumerate(sides):
        for subject in side.subjects:
            if subject.profile:
                row = times.setdefault(subject.title, [None] * len(sides))
                row[at] = subject.profile.total.mean
    return list(times.items())


def _classes(sides: Sequence[Side]) -> Tuple[Tuple[str, Tuple[Optional[float], ...]], ...]:
    """AP of each class of any run, of its checkpoint."""
    checkpoints = [
        next((each for each in side.subjects if each.name == CHECKPOINT), None) for side in sides
    ]
    metrics = [each.metrics.per_class if each and each.metrics else {} for each in checkpoints]
    names = list(dict.fromkeys(name for each in metrics for name in each))
    if len(names) < 2:
        return ()
    return tuple((name, tuple(each.get(name) for each in metrics)) for name in names)


def _errors(sides: Sequence[Side]) -> Tuple[Tuple[str, Tuple[Optional[float], ...]], ...]:
    splits = [side.analysis.errors if side.analysis else None for side in sides]
    if not any(splits):
        return ()
    return tuple(
        (name, tuple(split.ap50_lost.get(name) if split else None for split in splits))
        for name in ERROR_TYPES
    )
