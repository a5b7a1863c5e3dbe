"""What can be drawn: lines over an axis, groups of bars, a square of cells."""

from dataclasses import dataclass
from typing import Mapping, Optional, Sequence, Tuple

Point = Tuple[float, float]
Size = Tuple[float, float]

USUAL: Size = (4.2, 2.6)
"""Width and height of a chart in inches; the page scales it."""


@dataclass(frozen=True)
class Chart:
    """What to draw: the columns ``y`` of some records over their column ``x``."""

    title: str
    x: str
    y: Sequence[str]
    x_label: str
    markers: bool = False
    unit_range: bool = False
    y_label: str = ""


@dataclass(frozen=True)
class Series:
    """A line: its points by rising x. Points that are no finite numbers are left out."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class LineChart:
    """Lines over one axis. ``unit_x`` and ``unit_y`` are axes from 0 to 1.

    ``mark`` is a place on the x axis that a vertical line names. No two charts of a page may have
    one ``title``.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    unit_x: bool = False
    unit_y: bool = False
    markers: bool = False
    mark: Optional[Tuple[float, str]] = None
    size: Size = USUAL


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars: a group of one bar a series for each of ``groups``; None draws no bar."""

    title: str
    group_label: str
    value_label: str
    groups: Sequence[str]
    series: Mapping[str, Sequence[Optional[float]]]
    digits: int = 3
    width: float = USUAL[0]


@dataclass(frozen=True)
class GridChart:
    """A square of cells: ``shares[row][column]`` between 0 and 1 is how dark a cell is."""

    title: str
    x_label: str
    y_label: str
    shares: Sequence[Sequence[float]]
