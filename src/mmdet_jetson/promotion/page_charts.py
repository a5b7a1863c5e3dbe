"""Charts of figures over releases as inline SVG that takes its colours from the page.

Points with whiskers and no lines between them: nothing was measured between two releases.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import pygal
from markupsafe import Markup
from pygal.style import Style

from mmdet_jetson.promotion.release_figures import Figure, Measured, Release

MOST_SERIES = 5
"""More cannot be told apart; the table has all of them."""
MOST_LABELS = 6
WIDTH, HEIGHT = 440, 280
APART = 15
"""Units of the chart between two series at one release, lest one hides the other's whiskers."""
_SVG = "{http://www.w3.org/2000/svg}"
# The page has no script, and gives a chart its style: `page_style.css.j2`.
_DROPPED = ("defs", "desc", "title", "script")
_EMPTY = ("tooltip-overlay", "text-overlay", "titles")


@dataclass(frozen=True)
class Chart:
    """What is drawn of each subject, in which unit, and what the whiskers are."""

    title: str
    unit: str
    whiskers: str
    pick: Callable[[Measured], Figure | None]
    decimals: int = 2


CHARTS = (
    Chart("AP", "", "", lambda each: each.ap),
    Chart("AP50", "", "95% interval over resampled pictures", lambda each: each.ap50),
    Chart("Latency, 50th percentile", "ms", "99% bounds", lambda each: each.p50, 1),
    Chart("Latency, 99th percentile", "ms", "99% bounds", lambda each: each.p99, 1),
)


@dataclass(frozen=True)
class Drawn:
    """A chart and its caption."""

    title: str
    svg: Markup


def draw(
    chart: Chart, releases: Sequence[Release], subjects: Sequence[str], number: int
) -> Drawn | None:
    """Draw a chart; None where fewer than two releases have such a figure.

    ``number`` tells the charts of a page apart. The same figures give the same text.
    """
    series = {
        subject: [_figure(chart, release, subject) for release in releases] for subject in subjects
    }
    told = {name: points for name, points in series.items() if any(points)}
    shown = {name: told[name] for name in list(subjects)[:MOST_SERIES] if name in told}
    there = {at for points in shown.values() for at, each in enumerate(points) if each}
    if len(there) < 2:
        return None
    plot = _plot(chart, releases, shown, number)
    colours = [list(subjects).index(name) for name in shown]
    apart = min(APART, WIDTH / len(releases) / (len(shown) + 1))
    svg = _inline(plot, _described(chart, releases, shown), colours, apart)
    whiskers = any(_whisker(each) for points in shown.values() for each in points if each)
    notes = [chart.unit, chart.whiskers if whiskers else ""]
    if len(told) > len(shown):
        notes.append(f"{len(told) - len(shown)} more in the table")
    return Drawn(", ".join([chart.title, *filter(None, notes)]), svg)


def _figure(chart: Chart, release: Release, subject: str) -> Figure | None:
    measured = release.of(subject)
    return chart.pick(measured) if measured else None


def _whisker(figure: Figure) -> bool:
    return figure.low is not None and figure.high is not None


def _plot(
    chart: Chart,
    releases: Sequence[Release],
    series: dict[str, list[Figure | None]],
    number: int,
) -> str:
    ends = [
        end
        for points in series.values()
        for each in points
        if each
        for end in (each.value, each.low, each.high)
        if end is not None
    ]
    low, high = min(ends), max(ends)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    every = -(-len(releases) // MOST_LABELS)
    plot = pygal.Line(
        style=Style(font_family="sans-serif", label_font_size=11, legend_font_size=11),
        css=[],
        js=[],
        width=WIDTH,
        height=HEIGHT,
        margin=6,
        margin_bottom=22,
        stroke=False,
        dots_size=3.5,
        legend_at_bottom=True,
        legend_at_bottom_columns=min(2, len(series)),
        truncate_legend=24,
        truncate_label=12,
        range=(max(0.0, low - room), high + room),
        max_scale=6,
        disable_xml_declaration=True,
        formatter=lambda value: f"{value:.{chart.decimals}f}",
    )
    plot.uuid = str(number)
    # An empty place at both ends has room for whiskers, and for series that stand aside.
    titles = [each.title if place % every == 0 else "" for place, each in enumerate(releases)]
    plot.x_labels = ["", *titles, ""]
    for name, points in series.items():
        plot.add(name, [None, *(_point(each) for each in points), None])
    return str(plot.render(is_unicode=True))


def _point(figure: Figure | None) -> object:
    if figure is None or not _whisker(figure):
        return figure.value if figure else None
    return {"value": figure.value, "ci": {"low": figure.low, "high": figure.high}}


def _described(
    chart: Chart, releases: Sequence[Release], series: dict[str, list[Figure | None]]
) -> str:
    """What the chart shows, for who cannot see it; the table has every number."""
    ends = []
    for name, points in series.items():
        there = [(each, release) for each, release in zip(points, releases, strict=True) if each]
        (first, older), (last, newer) = there[0], there[-1]
        ends.append(
            f"{name} from {first.value:.3g} in {older.title} to {last.value:.3g} in {newer.title}"
        )
    return f"{chart.title} by release: {'; '.join(ends)}"


def _inline(svg: str, label: str, colours: Sequence[int], apart: float) -> Markup:
    """Leave of pygal's file what belongs inside a page: no script, no style, no tooltips."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - pygal has just written it
    for parent in list(root.iter()):
        for child in list(parent):
            drop = child.tag in {_SVG + each for each in _DROPPED}
            kinds = child.get("class", "").split()
            if drop or any(each in _EMPTY for each in kinds):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib.pop("id", None)
        _place(element, colours, apart)
    root.attrib = {**root.attrib, "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - escaped by that


def _place(element: ElementTree.Element, colours: Sequence[int], apart: float) -> None:
    """Give a series the colour of its subject in all charts, and a place beside the others."""
    kinds = element.get("class", "").split()
    for own, colour in enumerate(colours):
        if f"color-{own}" in kinds:
            kinds[kinds.index(f"color-{own}")] = f"color-{colour}"
            element.set("class", " ".join(kinds))
            if "series" in kinds:
                aside = apart * (own - (len(colours) - 1) / 2)
                element.set("transform", f"translate({aside:g} 0)")
            return
