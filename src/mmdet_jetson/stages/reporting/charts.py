"""Charts as inline SVG that takes its colours from the page, so they suit either theme.

Series differ in colour, in dashes and markers, or in hatching: they are told apart on a grey print
and by whoever sees colours differently. Environment `deploy` has no Matplotlib; there is no chart
there, and the tables say the same.
"""

from importlib.util import find_spec
from typing import List, Mapping, Optional, Sequence

from markupsafe import Markup

from mmdet_jetson.stages.reporting.chart_drawing import (
    draw_cells,
    draw_groups,
    draw_plot,
    svg_of,
    thinned,
)
from mmdet_jetson.stages.reporting.chart_kinds import (
    BarChart,
    Chart,
    GridChart,
    LineChart,
    Point,
    Series,
)
from mmdet_jetson.stages.reporting.inline_svg import SERIES

MOST_SERIES = len(SERIES)


def charts_there() -> bool:
    """Whether this environment can draw charts."""
    return find_spec("matplotlib") is not None


def draw_chart(chart: Chart, records: Sequence[Mapping[str, Optional[float]]]) -> Optional[Markup]:
    """The chart as an SVG element for an HTML page; None where no record has both columns."""
    lines = LineChart(
        chart.title,
        chart.x_label,
        chart.y_label or chart.title,
        [Series(key, points_of(records, chart.x, key)) for key in chart.y],
        unit_y=chart.unit_range,
        markers=chart.markers,
    )
    return draw_lines(lines)


def points_of(records: Sequence[Mapping[str, Optional[float]]], x: str, y: str) -> List[Point]:
    """The points of the records that have both columns."""
    columns = [(record.get(x), record.get(y)) for record in records]
    return [(a, b) for a, b in columns if a is not None and b is not None]


def draw_lines(chart: LineChart) -> Optional[Markup]:
    """The chart as an SVG element for an HTML page; None where there is no point, or no Matplotlib.

    Long curves are thinned to a few hundred points, first and last included. The same series give
    the same text.
    """
    _check_series(chart.title, len(chart.series))
    curves = {each.name: thinned(each.points) for each in chart.series}
    if not any(curves.values()) or not charts_there():
        return None
    ends = (f"{name} from {p[0][1]:.3g} to {p[-1][1]:.3g}" for name, p in curves.items() if p)
    told = f"{chart.title} by {chart.x_label}: {', '.join(ends)}"
    told += f"; {chart.mark[1]}" if chart.mark else ""
    return svg_of(chart.title, chart.size, lambda axes: draw_plot(axes, chart, curves), told)


def draw_bars(chart: BarChart) -> Optional[Markup]:
    """The bars as an SVG element; None where no series has a value, or there is no Matplotlib."""
    _check_series(chart.title, len(chart.series))
    values = [each for series in chart.series.values() for each in series if each is not None]
    if not values or not charts_there():
        return None
    size = chart.width, 0.85 + len(chart.groups) * (0.12 + 0.22 * len(chart.series))
    told = f"{chart.title}. {'; '.join(_told(chart, name) for name in chart.series)}"
    return svg_of(chart.title, size, lambda axes: draw_groups(axes, chart, max(values)), told)


def draw_grid(chart: GridChart) -> Optional[Markup]:
    """The cells as an SVG element, in five steps of darkness; None without Matplotlib."""
    if not charts_there():
        return None
    side = len(chart.shares)
    told = f"{chart.title}: {chart.y_label} by {chart.x_label}, in {side} rows and columns"
    return svg_of(chart.title, (5.2, 4.8), lambda axes: draw_cells(axes, chart), told)


def _check_series(title: str, series: int) -> None:
    if series > MOST_SERIES:
        raise ValueError(f"{title}: {series} series cannot be told apart")


def _told(chart: BarChart, name: str) -> str:
    pairs = zip(chart.groups, chart.series[name])
    values = (f"{group} {value:.{chart.digits}f}" for group, value in pairs if value is not None)
    return f"{name}: {', '.join(values)}"
