"""How charts are drawn with Matplotlib, imported only then: not every environment has it."""

import io
import math
from typing import TYPE_CHECKING, Callable, List, Mapping, Sequence

from markupsafe import Markup

from mmdet_jetson.stages.reporting.chart_kinds import BarChart, GridChart, LineChart, Point, Size
from mmdet_jetson.stages.reporting.inline_svg import INK, LINE, PAPER, SERIES, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 400
_MOST_LETTERS = 24
_DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (3, 3)))
_MARKERS = ("o", "s", "^", "D", "v", "x")
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
# How much of an object's class was detected as another, from which share on, and how dark that is.
_LEVELS = ((0.01, 0.15), (0.05, 0.3), (0.1, 0.5), (0.25, 0.75), (0.5, 1.0))

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "hatch.color": PAPER,
    "hatch.linewidth": 1.2,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


def svg_of(title: str, size: Size, draw: Callable[["Axes"], None], told: str) -> Markup:
    """Draw on a figure of that many inches; ``told`` is what is read aloud."""
    import matplotlib  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # The salt names clip paths and markers: one for each chart keeps them unique in the page.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return inline(stream.getvalue(), told)


def thinned(points: Sequence[Point]) -> List[Point]:
    """A few hundred of the finite points, first and last included."""
    finite = [pair for pair in points if all(map(math.isfinite, pair))]
    if len(finite) <= _MOST_POINTS:
        return finite
    last = len(finite) - 1
    return [finite[round(i * last / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def draw_plot(axes: "Axes", chart: LineChart, curves: Mapping[str, List[Point]]) -> None:
    """Draw lines: ``curves`` are the points of each."""
    for at, (name, points) in enumerate(curves.items()):
        if points:
            axes.plot(
                *zip(*points),
                color=SERIES[at],
                linestyle=_DASHES[at],
                linewidth=1.6,
                marker=_MARKERS[at] if chart.markers or len(points) == 1 else "",
                markersize=3.5,
                label=plain(name),
            )
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.margins(x=0.02)
    axes.set_ylim(bottom=0, top=1.02 if chart.unit_y else None)
    if chart.unit_x:
        axes.set_xlim(-0.01, 1.01)
    else:
        axes.locator_params("x", integer=True, nbins=6)
    if not chart.unit_y:
        axes.locator_params("y", nbins=5)
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=False)
    _mark(axes, chart)
    if sum(map(bool, curves.values())) > 1:
        _legend(axes, [name for name, points in curves.items() if points], chart.size[0])


def _mark(axes: "Axes", chart: LineChart) -> None:
    """Name a place on the x axis, on the side of it where there is room."""
    if chart.mark:
        at, text = chart.mark
        axes.axvline(at, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        side = "right" if at > 0.5 else "left"
        room = {"right": (-4, 4), "left": (4, 4)}[side]
        axes.annotate(
            text,
            (at, 0),
            xytext=room,
            textcoords="offset points",
            ha=side,
            va="bottom",
            fontsize=10,
        )


def draw_groups(axes: "Axes", chart: BarChart, longest: float) -> None:
    """Draw bars and their values; ``longest`` is the largest of these."""
    thick = 0.8 / len(chart.series)
    for at, (name, series) in enumerate(chart.series.items()):
        places = [group - 0.4 + thick * (at + 0.5) for group in range(len(chart.groups))]
        bars = axes.barh(
            places,
            [each or 0 for each in series],
            thick * 0.9,
            color=SERIES[at],
            hatch=_HATCHES[at],
            linewidth=0,
            label=plain(name),
        )
        texts = ["" if each is None else f"{each:.{chart.digits}f}" for each in series]
        axes.bar_label(bars, texts, padding=3, fontsize=10)
    axes.set_yticks(range(len(chart.groups)), [plain(each) for each in chart.groups])
    axes.invert_yaxis()
    axes.set(xlabel=chart.value_label, ylabel=chart.group_label)
    axes.set_xlim(0, 1.15 * longest or 1)
    axes.locator_params("x", nbins=5)
    axes.tick_params(length=0)
    if len(chart.series) > 1:
        _legend(axes, list(chart.series), chart.width)


def draw_cells(axes: "Axes", chart: GridChart) -> None:
    """Draw the squares that are dark enough to be seen."""
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path  # noqa: PLC0415

    side = len(chart.shares)
    # One path for all cells of a step: thousands of squares of their own are a heavy page.
    for (low, alpha), (high, _) in zip(_LEVELS, [*_LEVELS[1:], (math.inf, 0)]):
        places = [
            (column, row)
            for row, shares in enumerate(chart.shares, 1)
            for column, share in enumerate(shares, 1)
            if low <= share < high
        ]
        if places:
            squares = Path.make_compound_path(
                *(Path(_square(*each), closed=True) for each in places)
            )
            axes.add_patch(PathPatch(squares, facecolor=SERIES[0], alpha=alpha, linewidth=0))
    axes.set(xlim=(0.5, side + 0.5), ylim=(side + 0.5, 0.5), aspect="equal")
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)


def _square(column: int, row: int) -> List[Point]:
    left, right, top, bottom = column - 0.5, column + 0.5, row - 0.5, row + 0.5
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def _legend(axes: "Axes", names: Sequence[str], width: float) -> None:
    """Name the series above the chart, in as many columns as there is room for."""
    longest = max(len(_short(name)) for name in names)
    columns = max(1, min(3, int(width / (0.45 + 0.078 * longest))))
    axes.figure.legend(loc="outside upper left", ncols=columns, borderpad=0, handlelength=2.4)


def _short(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def plain(name: str) -> str:
    """A name as text, not too long: Matplotlib reads what is between dollars as mathematics.

    A leading underscore would leave it out of the legend.
    """
    escaped = _short(name).replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped
