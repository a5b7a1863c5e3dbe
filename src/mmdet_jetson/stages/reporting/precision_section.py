"""How precision falls as recall rises, class by class, and AP by the size of objects."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from markupsafe import Markup

from mmdet_jetson.contract.analysis import Analysis, SizeBand
from mmdet_jetson.stages.plain_numbers import plain
from mmdet_jetson.stages.reporting.analysed import Analysed
from mmdet_jetson.stages.reporting.chart_kinds import BarChart, LineChart, Series
from mmdet_jetson.stages.reporting.charts import MOST_SERIES, draw_bars, draw_lines

MEAN = "mean of all classes"
RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Recalls that the table has the precision at."""


@dataclass(frozen=True)
class ClassPrecision:
    """AP50 of a class, and its precision at each of `RECALLS`."""

    name: str
    ap50: float
    at: Tuple[float, ...]


@dataclass(frozen=True)
class PrecisionSection:
    """``drawn`` are the classes in the chart; where these are not all, they are the hardest."""

    main: Analysed
    classes: Tuple[ClassPrecision, ...]
    drawn: Tuple[str, ...]
    chart: Optional[Markup]
    sizes: Tuple[Tuple[str, SizeBand], ...]
    size_chart: Optional[Markup]
    recalls: Tuple[float, ...] = RECALLS


def precision_section(main: Analysed) -> PrecisionSection:
    """Shape the section."""
    curves = main.analysis.precision_recall
    classes = tuple(_class(name, curves[name]) for name in main.analysis.classes if name in curves)
    drawn = _drawn(classes)
    bands = [(size_name(each), each) for each in main.analysis.sizes]
    return PrecisionSection(
        main=main,
        classes=classes,
        drawn=tuple(drawn),
        chart=_chart(main.analysis, drawn),
        sizes=tuple(bands),
        size_chart=_size_chart(bands),
    )


def mean_precision(analysis: Analysis) -> List[float]:
    """The precision at each recall level, over the classes that have objects."""
    curves = list(analysis.precision_recall.values())
    return [sum(level) / len(curves) for level in zip(*curves)] if curves else []


def recall_series(name: str, precision: Sequence[float]) -> Series:
    """A curve of precision over recall, whose levels are evenly spread from 0 to 1."""
    last = max(len(precision) - 1, 1)
    return Series(name, [(level / last, value) for level, value in enumerate(precision)])


def size_name(band: SizeBand) -> str:
    """A range of sizes as people say it."""
    if band.high is None:
        return f"over {plain(band.low)} px"
    if band.low == 0:
        return f"under {plain(band.high)} px"
    return f"{plain(band.low)} to {plain(band.high)} px"


def _class(name: str, precision: Sequence[float]) -> ClassPrecision:
    last = len(precision) - 1
    at = tuple(precision[round(recall * last)] for recall in RECALLS) if precision else ()
    return ClassPrecision(name, sum(precision) / max(len(precision), 1), at)


def _drawn(classes: Sequence[ClassPrecision]) -> List[str]:
    """The classes to draw: all of a few, else the hardest beside the mean of all."""
    if len(classes) <= MOST_SERIES:
        return [each.name for each in classes]
    hardest = sorted(classes, key=lambda each: (each.ap50, each.name))
    return [each.name for each in hardest[: MOST_SERIES - 1]]


def _chart(analysis: Analysis, drawn: Sequence[str]) -> Optional[Markup]:
    curves = analysis.precision_recall
    series = [recall_series(name, curves[name]) for name in drawn]
    if len(drawn) < len(curves):
        series.insert(0, recall_series(MEAN, mean_precision(analysis)))
    return draw_lines(
        LineChart(
            "Precision over recall",
            "recall (0 to 1)",
            "precision (0 to 1)",
            series,
            unit_x=True,
            unit_y=True,
            size=(5.0, 3.2),
        )
    )


def _size_chart(bands: Sequence[Tuple[str, SizeBand]]) -> Optional[Markup]:
    there = [(name, band) for name, band in bands if band.objects]
    series: Dict[str, List[Optional[float]]] = {
        "AP": [band.ap for _, band in there],
        "AP50": [band.ap50 for _, band in there],
    }
    return draw_bars(
        BarChart(
            "AP by the size of objects",
            "side at the input",
            "average precision (0 to 1)",
            [f"{name} ({band.objects})" for name, band in there],
            series,
            width=5.0,
        )
    )
