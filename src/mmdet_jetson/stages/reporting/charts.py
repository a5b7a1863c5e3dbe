"""Line charts as inline SVG that takes its colours from the page, so they suit either theme."""

import io
import math
import re
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

# Colours that stand for the page's own: each is replaced by its CSS variable after drawing.
_INK, _LINE = "#010101", "#020202"
_SERIES = ("#030303", "#040404")
_VARIABLES = {_INK: "--soft", _LINE: "--line", _SERIES[0]: "--series-1", _SERIES[1]: "--series-2"}
_MOST_POINTS = 400

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Chart:
    """What to draw: the columns ``y`` of some records over their column ``x``."""

    title: str
    x: str
    y: Sequence[str]
    x_label: str
    markers: bool = False
    unit_range: bool = False


def draw_chart(chart: Chart, records: Sequence[Mapping[str, Any]]) -> Optional[Markup]:
    """The chart as an SVG element for an HTML page; None where no record has both columns.

    Long curves are thinned to a few hundred points, first and last included. The same records
    give the same text.
    """
    curves = {key: points for key in chart.y if (points := _points(records, chart.x, key))}
    if not curves:
        return None
    # The salt names clip paths and markers: one for each chart keeps them unique in the page.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": chart.title}):
        figure = Figure(figsize=(4.2, 2.5), layout="constrained")
        axes = figure.add_subplot()
        for (key, points), colour in zip(curves.items(), _SERIES):
            axes.plot(
                *zip(*points),
                color=colour,
                linewidth=1.5,
                marker="o" if chart.markers or len(points) == 1 else "",
                markersize=3.5,
                label=key,
            )
        _dress(axes, chart, len(curves) > 1)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return _inline(stream.getvalue(), _describe(chart, curves))


def _points(records: Sequence[Mapping[str, Any]], x: str, y: str) -> List[Any]:
    points = [(record[x], record[y]) for record in records if _finite(record, x, y)]
    if len(points) <= _MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(i * last / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def _finite(record: Mapping[str, Any], *keys: str) -> bool:
    values = [record.get(key) for key in keys]
    return all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)


def _dress(axes: Any, chart: Chart, legend: bool) -> None:
    axes.set_xlabel(chart.x_label)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.margins(x=0.02)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
    axes.yaxis.get_major_locator().set_params(nbins=5)
    axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=False)
    axes.set_ylim(bottom=0, top=1 if chart.unit_range else None)
    if legend:
        axes.legend(loc="lower right", ncols=2)


def _describe(chart: Chart, curves: Mapping[str, List[Any]]) -> str:
    ends = [f"{key} from {p[0][1]:.3g} to {p[-1][1]:.3g}" for key, p in curves.items()]
    return f"{chart.title} by {chart.x_label}: {', '.join(ends)}"


def _inline(svg: str, label: str) -> Markup:
    """Leave of a stand-alone SVG file what belongs inside a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:xlink)?|version|width|height)="[^"]*"', "", svg[: svg.index(">")]) + (
        re.sub(r'<g id="[^"]*"', "<g", svg[svg.index(">") :])
    )
    svg = re.sub(r"font-family:[^;\"]*;?|font: ([\d.]+px) [^;\"]*", _keep_size, svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))  # noqa: S704


def _keep_size(font: "re.Match[str]") -> str:
    return f"font-size: {font.group(1)}" if font.group(1) else ""
