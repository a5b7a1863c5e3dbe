"""What goes wrong: errors by type, what to do about each, and which classes are confused."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from markupsafe import Markup

from mmdet_jetson.contract.analysis import ERROR_TYPES, Analysis, ErrorSplit
from mmdet_jetson.stages.reporting.analysed import Analysed
from mmdet_jetson.stages.reporting.chart_kinds import BarChart, GridChart
from mmdet_jetson.stages.reporting.charts import draw_bars, draw_grid

MOST_CELLS_A_SIDE = 16
"""Of more classes the matrix is a list of pairs and a picture."""
MOST_PAIRS = 25
BACKGROUND = "background"
NOT_FOUND = "not found"

MEANINGS: Dict[str, Tuple[str, str]] = {
    "class": (
        "The box is right and the class is another one.",
        "See which classes are confused below; look at their labels, add pictures of the rarer "
        "one, or make one class of two that people confuse as well.",
    ),
    "localisation": (
        "The class is right and the box meets its object badly (IoU 0.1 to 0.5).",
        "See whether the labels draw boxes alike; train longer, or with a larger input size where "
        "objects are small.",
    ),
    "both": (
        "The box meets an object badly, and the class is another one.",
        "Look at a few of these pictures: often it is a thing of none of the classes.",
    ),
    "duplicate": (
        "An object that was found already is detected once more.",
        "Lower the IoU threshold of NMS (test_cfg in the model's config), or raise the score "
        "threshold.",
    ),
    "background": (
        "Something is detected where there is no object.",
        "Look at the false alarms below: objects without a label are to be labelled; of what else "
        "is there, add pictures without objects to the training.",
    ),
    "missed": (
        "No detection meets an object.",
        "Look at the misses below: add pictures like these; a larger input size where they are "
        "small; check the labels where there is nothing to see.",
    ),
}


@dataclass(frozen=True)
class ErrorType:
    """A type of errors: how many, what they cost, what they mean and what to do about them."""

    name: str
    count: int
    lost: float
    meaning: str
    remedy: str


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix; ``share`` is of its row, ``right`` on the diagonal."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True)
class Confused:
    """Objects of one class (or background) that were detected as another (or not)."""

    truth: str
    detected: str
    count: int
    share: float


@dataclass(frozen=True)
class ErrorsSection:
    """``rows`` is the matrix of few classes, ``grid`` the picture of many; ``pairs`` is of both."""

    main: Analysed
    errors: Optional[ErrorSplit]
    types: Tuple[ErrorType, ...]
    chart: Optional[Markup]
    names: Tuple[str, ...]
    rows: Tuple[Tuple[str, Tuple[Cell, ...]], ...]
    pairs: Tuple[Confused, ...]
    more_pairs: int
    grid: Optional[Markup]

    @property
    def worst(self) -> Optional[ErrorType]:
        """The type that costs most; None where nothing is lost."""
        found = max(self.types, key=lambda each: each.lost, default=None)
        return found if found and found.lost > 0 else None


def errors_section(main: Analysed) -> ErrorsSection:
    """Shape the section."""
    analysis = main.analysis
    types = _types(analysis.errors) if analysis.errors else ()
    pairs = _pairs(analysis)
    few = len(analysis.classes) <= MOST_CELLS_A_SIDE
    return ErrorsSection(
        main=main,
        errors=analysis.errors,
        types=types,
        chart=_chart(types),
        names=(*analysis.classes, NOT_FOUND),
        rows=_rows(analysis) if few else (),
        pairs=tuple(pairs[:MOST_PAIRS]),
        more_pairs=max(len(pairs) - MOST_PAIRS, 0),
        grid=None if few else _grid(analysis),
    )


def _types(errors: ErrorSplit) -> Tuple[ErrorType, ...]:
    return tuple(
        ErrorType(
            name, errors.counts.get(name, 0), errors.ap50_lost.get(name, 0.0), *MEANINGS[name]
        )
        for name in ERROR_TYPES
    )


def _chart(types: Sequence[ErrorType]) -> Optional[Markup]:
    return draw_bars(
        BarChart(
            "AP50 lost by type of error",
            "type of error",
            "AP50 that mending them all would add (0 to 1)",
            [each.name for each in types],
            {"AP50 lost": [each.lost for each in types]},
            width=5.0,
        )
    )


def _shares(row: Sequence[int]) -> List[float]:
    total = sum(row)
    return [count / total if total else 0.0 for count in row]


def _rows(analysis: Analysis) -> Tuple[Tuple[str, Tuple[Cell, ...]], ...]:
    names = (*analysis.classes, BACKGROUND)
    return tuple(
        (
            name,
            tuple(Cell(n, share, at == i) for at, (n, share) in enumerate(zip(row, _shares(row)))),
        )
        for i, (name, row) in enumerate(zip(names, analysis.confusion))
    )


def _pairs(analysis: Analysis) -> List[Confused]:
    """Everything off the diagonal, the most first."""
    truths, detected = (*analysis.classes, BACKGROUND), (*analysis.classes, NOT_FOUND)
    found = [
        Confused(truths[i], detected[j], count, share)
        for i, row in enumerate(analysis.confusion)
        for j, (count, share) in enumerate(zip(row, _shares(row)))
        if i != j and count
    ]
    return sorted(found, key=lambda each: (-each.count, each.truth, each.detected))


def _grid(analysis: Analysis) -> Optional[Markup]:
    return draw_grid(
        GridChart(
            "Confusion of all classes",
            "detected as class number (the last column: not found)",
            "class number (the last row: background)",
            [_shares(row) for row in analysis.confusion],
        )
    )
