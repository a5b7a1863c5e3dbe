"""Charts of what is in a dataset: how large objects are, where they lie, how wide pictures are."""

from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence, Tuple

from markupsafe import Markup

from mmdet_jetson.stages.annotations.glance_file import Glance, Histogram
from mmdet_jetson.stages.reporting.chart_drawing import plain, svg_of
from mmdet_jetson.stages.reporting.charts import charts_there
from mmdet_jetson.stages.reporting.inline_svg import INK, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer

SPLIT_NAMES = {"train": "training", "val": "validation"}
MOST_CLASSES = 30
"""Bars that a chart has room for."""
_PLACES = {"train": 0, "val": 1}
"""A split's place and colour in every chart: on each page the same, whichever splits it has."""
_HATCHES = ("", "////")
_USUAL = (4.2, 2.9)

Columns = Mapping[str, Sequence[float]]


def glance_charts(glance: Glance) -> List[Tuple[str, str, Markup]]:
    """Title, a sentence and the chart as an SVG element of each; none without Matplotlib."""
    if not charts_there():
        return []
    wide, high = glance.input_size
    drawn = [
        (
            "Objects by class",
            _of_classes_told(glance),
            _by_class(glance) if len(glance.classes) > 1 else None,
        ),
        (
            "Sizes of objects",
            f"The side of a square as large as the box, once the picture fits {wide} × {high}.",
            _columns(
                "Sizes of objects",
                _ranges(glance.sides.limits),
                _shares(glance.sides),
                f"side at the input of {wide} × {high} (pixels)",
                "share of objects (%)",
            ),
        ),
        (
            "Places of objects",
            "Where the centres of boxes lie in their pictures; the darker, the more.",
            _map(glance),
        ),
        (
            "Shapes of pictures",
            f"{glance.padding:.0%} of the network's input of {wide} × {high} is padding, "
            "on average.",
            _columns(
                "Shapes of pictures",
                [each.replace("0.95–1.05", "square") for each in _ranges(glance.aspects.limits)],
                _shares(glance.aspects),
                "width divided by height",
                "share of pictures (%)",
            ),
        ),
    ]
    return [(title, told, svg) for title, told, svg in drawn if svg is not None]


def _of_classes_told(glance: Glance) -> str:
    if len(glance.classes) <= MOST_CLASSES:
        return ""
    return f"The {MOST_CLASSES} with the most objects, of {len(glance.classes)}."


def _by_class(glance: Glance) -> Optional[Markup]:
    """Horizontal bars, one of each split for each class."""
    totals = {name: sum(of[name] for of in glance.objects.values()) for name in glance.classes}
    shown = sorted(glance.classes, key=lambda name: -totals[name])[:MOST_CLASSES]
    shown = [name for name in glance.classes if name in set(shown)]
    columns = {split: [of[name] for name in shown] for split, of in glance.objects.items()}
    size = (_USUAL[0], 0.95 + len(shown) * (0.1 + 0.18 * len(columns)))

    def draw(axes: "Axes") -> None:
        thick = 0.84 / len(columns)
        for at, (split, counts) in enumerate(_in_order(columns)):
            places = [row - 0.42 + thick * (at + 0.5) for row in range(len(shown))]
            bars = axes.barh(places, counts, thick * 0.9, label=SPLIT_NAMES.get(split, split))
            _dress(bars, split)
        axes.set_yticks(range(len(shown)), [plain(name) for name in shown])
        axes.invert_yaxis()
        axes.set(xlabel="objects", ylabel="class")
        axes.locator_params("x", integer=True, nbins=5)
        _finish(axes, columns)

    told = "; ".join(f"{name} {totals[name]}" for name in shown)
    return svg_of("Objects by class", size, draw, f"Objects by class: {told}")


def _columns(
    title: str, names: Sequence[str], columns: Columns, x_label: str, y_label: str
) -> Optional[Markup]:
    """Upright bars from the first to the last bin that has something."""
    filled = [at for at in range(len(names)) if any(each[at] for each in columns.values())]
    if not filled:
        return None
    bins = range(filled[0], filled[-1] + 1)

    def draw(axes: "Axes") -> None:
        thick = 0.84 / len(columns)
        for at, (split, shares) in enumerate(_in_order(columns)):
            places = [i - 0.42 + thick * (at + 0.5) for i in range(len(bins))]
            heights = [shares[each] for each in bins]
            bars = axes.bar(places, heights, thick * 0.9, label=SPLIT_NAMES.get(split, split))
            _dress(bars, split)
        axes.set_xticks(range(len(bins)), [names[each] for each in bins], fontsize=9)
        for tick in axes.get_xticklabels():
            tick.set(rotation=40, ha="right", rotation_mode="anchor")
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.locator_params("y", nbins=5)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        _finish(axes, columns)

    told = "; ".join(
        f"{split} " + ", ".join(f"{names[each]}: {shares[each]:.0f} %" for each in bins)
        for split, shares in _in_order(columns)
    )
    return svg_of(title, _USUAL, draw, f"{title}, {y_label} by {x_label}: {told}")


def _map(glance: Glance) -> Optional[Markup]:
    """The centres of boxes as a map of cells, in eight steps of darkness."""
    most = max(max(row) for row in glance.centres)
    if not most:
        return None
    side = len(glance.centres)

    def draw(axes: "Axes") -> None:
        from matplotlib.patches import PathPatch  # noqa: PLC0415
        from matplotlib.path import Path  # noqa: PLC0415

        for step, cells in _steps(glance.centres, most).items():
            squares = [
                Path([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)], closed=True)
                for x, y in cells
            ]
            path = Path.make_compound_path(*squares)
            axes.add_patch(PathPatch(path, facecolor=SERIES[0], alpha=step / 8, linewidth=0))
        axes.set(xlim=(0, side), ylim=(side, 0))
        ticks = [0, side / 4, side / 2, 3 * side / 4, side]
        axes.set_xticks(ticks, ["0", "25", "50", "75", "100"])
        axes.set_yticks(ticks, ["0", "25", "50", "75", "100"])
        axes.set(xlabel="across (% of the width)", ylabel="down (% of the height)")
        axes.tick_params(length=0)
        axes.annotate(
            f"darkest: {most} in a cell", (1, 1), (0, 3), xycoords="axes fraction",
            textcoords="offset points", ha="right", va="bottom", fontsize=9, color=INK,
        )  # fmt: skip
        for spine in axes.spines.values():
            spine.set_visible(True)

    total = sum(map(sum, glance.centres))
    told = f"Places of objects: centres of {total} boxes, at most {most} in one of {side * side}"
    return svg_of("Places of objects", _USUAL, draw, f"{told} cells")


def _steps(centres: Sequence[Sequence[int]], most: int) -> Dict[int, List[Tuple[int, int]]]:
    found: Dict[int, List[Tuple[int, int]]] = {}
    for y, row in enumerate(centres):
        for x, count in enumerate(row):
            if count:
                found.setdefault(-(-8 * count // most), []).append((x, y))
    return found


def _in_order(columns: Columns) -> List[Tuple[str, Sequence[float]]]:
    """Training first, in whichever order a record has them."""
    return sorted(columns.items(), key=lambda each: _PLACES.get(each[0], len(_PLACES)))


def _dress(bars: "BarContainer", split: str) -> None:
    """Bars of a split in its own colour and hatching, which tells them apart on a grey print."""
    at = _PLACES.get(split, len(_PLACES))
    for bar in bars:
        bar.set(facecolor=SERIES[at], hatch=_HATCHES[at % len(_HATCHES)], linewidth=0)


def _finish(axes: "Axes", columns: Columns) -> None:
    axes.tick_params(length=0)
    if len(columns) > 1:
        axes.figure.legend(loc="outside upper left", ncols=2, borderpad=0)


def _shares(histogram: Histogram) -> Columns:
    """Percent of a split's values in each bin."""
    return {
        split: [100 * count / max(1, sum(counts)) for count in counts]
        for split, counts in histogram.counts.items()
    }


def _ranges(limits: Sequence[float]) -> List[str]:
    pairs = list(zip(limits, limits[1:]))
    names = [f"{low:g}–{high:g}" for low, high in pairs]
    return [f"under {limits[1]:g}", *names[1:-1], f"over {limits[-2]:g}"]
