"""Which score threshold to deploy: a sentence that names it, curves over the score, each class."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from markupsafe import Markup

from mmdet_jetson.contract.analysis import Analysis, OperatingPoint, ScoreCurve
from mmdet_jetson.stages.plain_numbers import plain
from mmdet_jetson.stages.reporting.analysed import Analysed
from mmdet_jetson.stages.reporting.chart_kinds import LineChart, Point, Series
from mmdet_jetson.stages.reporting.charts import draw_lines
from mmdet_jetson.stages.reporting.errors_section import MOST_CELLS_A_SIDE

MOST_CLASS_CHARTS = 12
FEW_OBJECTS = 100
"""Under so many, a few of them more or less move each figure by a percent."""
_NAMES = {"precision": "precision", "recall": "recall", "f1": "F1"}


@dataclass(frozen=True)
class ClassThreshold:
    """A class and its curve; ``chart`` is None where it has none."""

    name: str
    curve: ScoreCurve
    chart: Optional[Markup]


@dataclass(frozen=True)
class ThresholdSection:
    """What the section shows of ``main``; ``others`` has the thresholds of all analysed subjects.

    ``reason`` is why this threshold, or why there is none; ``doubt`` is "" where there is none.
    """

    main: Analysed
    deploy: Optional[OperatingPoint]
    reason: str
    doubt: str
    others: Sequence[Analysed]
    chart: Optional[Markup]
    classes: Tuple[ClassThreshold, ...]

    @property
    def wished(self) -> Optional[float]:
        """The precision that was asked for."""
        return self.main.analysis.wished_precision

    @property
    def numbered(self) -> bool:
        """Whether the picture of a confusion of many classes calls these by numbers."""
        return len(self.main.analysis.classes) > MOST_CELLS_A_SIDE

    @property
    def charts(self) -> List[ClassThreshold]:
        """The classes that have a chart, the hardest first."""
        charts = [each for each in self.classes if each.chart]
        return sorted(charts, key=lambda each: _difficulty(each.name, each.curve))


def threshold_section(main: Analysed, analysed: Sequence[Analysed]) -> ThresholdSection:
    """Shape the section."""
    analysis = main.analysis
    return ThresholdSection(
        main=main,
        deploy=analysis.deploy,
        reason=_reason(main),
        doubt=_doubt(analysis),
        others=analysed,
        chart=_chart(analysis),
        classes=_classes(analysis),
    )


def _reason(main: Analysed) -> str:
    analysis, over = main.analysis, f"over {main.pictures}"
    if analysis.deploy is None:
        empty = not analysis.together.objects
        why = "there is nothing to detect" if empty else "nothing is detected that is right"
        return f"No score threshold can be named: {why} on {main.pictures}."
    wished = analysis.wished_precision
    if wished is None:
        return f"No other threshold has a better F1 {over}."
    if analysis.together.wished is None:
        return (
            f"No threshold reaches the wished precision of {plain(wished)} {over}, so this is the "
            "one with the best F1."
        )
    return (
        f"No other threshold with the wished precision of {plain(wished)} or more finds more "
        f"objects {over}."
    )


def _doubt(analysis: Analysis) -> str:
    objects = analysis.together.objects
    if not analysis.deploy or objects >= FEW_OBJECTS:
        return ""
    return (
        f"There are only {objects} objects to judge by, so each of them moves these figures by "
        f"{plain(round(100 / objects, 1))} points of a hundred: more validation pictures make the "
        "choice a safer one."
    )


def _chart(analysis: Analysis) -> Optional[Markup]:
    deploy = analysis.deploy
    mark = (deploy.threshold, f"deploy {deploy.threshold:.2f}") if deploy else None
    return draw_lines(
        LineChart(
            "Precision, recall and F1 over the score",
            "score threshold (0 to 1)",
            "share (0 to 1)",
            _series(analysis.together),
            unit_x=True,
            unit_y=True,
            mark=mark,
            size=(5.0, 2.8),
        )
    )


def _series(curve: ScoreCurve) -> List[Series]:
    return [Series(name, score_points(curve, figure)) for figure, name in _NAMES.items()]


def score_points(curve: ScoreCurve, figure: str) -> List[Point]:
    """A figure of the operating points over the threshold, where it is known."""
    columns = [(each.threshold, getattr(each, figure)) for each in curve.points]
    return [(threshold, value) for threshold, value in columns if value is not None]


def _classes(analysis: Analysis) -> Tuple[ClassThreshold, ...]:
    """All classes in their order; the hardest of many have charts, where there are several."""
    curves = {
        name: analysis.per_class[name] for name in analysis.classes if name in analysis.per_class
    }
    known = [name for name in curves if curves[name].best_f1]
    known.sort(key=lambda name: _difficulty(name, curves[name]))
    drawn = known[:MOST_CLASS_CHARTS] if len(curves) > 1 else []
    return tuple(
        ClassThreshold(name, curve, _class_chart(name, curve) if name in drawn else None)
        for name, curve in curves.items()
    )


def _difficulty(name: str, curve: ScoreCurve) -> Tuple[float, str]:
    best = curve.best_f1
    return (best.f1 if best and best.f1 is not None else 0.0), name


def _class_chart(name: str, curve: ScoreCurve) -> Optional[Markup]:
    best = curve.best_f1
    return draw_lines(
        LineChart(
            f"Class {name} over the score",
            "score threshold (0 to 1)",
            "share (0 to 1)",
            _series(curve),
            unit_x=True,
            unit_y=True,
            mark=(best.threshold, f"best F1 at {best.threshold:.2f}") if best else None,
        )
    )
