"""Line charts as inline SVG that takes its colours from the page, so they suit either theme."""

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Mapping, Optional, Sequence, Tuple
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = Tuple[float, float]

# Colours that stand for the page's own: each is replaced by its CSS variable after drawing.
_INK, _LINE = "#010101", "#020202"
_SERIES = ("#030303", "#040404")
_VARIABLES = {_INK: "--soft", _LINE: "--line", _SERIES[0]: "--series-1", _SERIES[1]: "--series-2"}
_MOST_POINTS = 400
_XLINK = "{http://www.w3.org/1999/xlink}"
# The page gives a chart its size, and the ids of groups are the same in all of them.
_DROPPED = {"svg": ("width", "height", "version"), "g": ("id",)}

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


def draw_chart(chart: Chart, records: Sequence[Mapping[str, Optional[float]]]) -> Optional[Markup]:
    """The chart as an SVG element for an HTML page; None where no record has both columns.

    Long curves are thinned to a few hundred points, first and last included. The same records
    give the same text.
    """
    curves = {key: points for key in chart.y if (points := _points(records, chart.x, key))}
    if not curves:
        return None
    # Environment `deploy` has no Matplotlib: a report that is made there has no training to show.
    import matplotlib  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

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


def _points(records: Sequence[Mapping[str, Optional[float]]], x: str, y: str) -> List[Point]:
    columns = [(record.get(x), record.get(y)) for record in records]
    pairs = [(a, b) for a, b in columns if a is not None and b is not None]
    points = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if len(points) <= _MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(i * last / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def _dress(axes: "Axes", chart: Chart, legend: bool) -> None:
    axes.set_xlabel(chart.x_label)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.margins(x=0.02)
    axes.locator_params("x", integer=True, nbins=6)
    axes.locator_params("y", nbins=5)
    axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=False)
    axes.set_ylim(bottom=0, top=1 if chart.unit_range else None)
    if legend:
        axes.legend(loc="lower right", ncols=2)


def _describe(chart: Chart, curves: Mapping[str, List[Point]]) -> str:
    ends = [f"{key} from {p[0][1]:.3g} to {p[-1][1]:.3g}" for key, p in curves.items()]
    return f"{chart.title} by {chart.x_label}: {', '.join(ends)}"


def _inline(svg: str, label: str) -> Markup:
    """Leave of a stand-alone SVG file what belongs inside a page."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - matplotlib has just written it
    for parent in list(root.iter()):
        for child in [*parent.findall("{*}metadata"), *parent.findall("{*}style")]:
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.partition("}")[2]
        for name in _DROPPED.get(element.tag, ()):
            element.attrib.pop(name, None)
        element.attrib = {
            name.replace(_XLINK, "xlink:"): _themed(value) if name == "style" else value
            for name, value in element.attrib.items()
        }
    root.attrib = {"role": "img", "aria-label": label, **root.attrib}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - escaped by that


def _themed(style: str) -> str:
    """Let a style take its colours and its font from the page, but not the font's size."""
    parts = [part.strip() for part in style.split(";") if part.strip()]
    declared = dict(part.partition(": ")[::2] for part in parts)
    declared.pop("font-family", None)
    if "font" in declared:
        declared["font-size"] = declared.pop("font").split()[0]
    return "; ".join(
        f"{name}: var({_VARIABLES[value]})" if value in _VARIABLES else f"{name}: {value}"
        for name, value in declared.items()
    )
