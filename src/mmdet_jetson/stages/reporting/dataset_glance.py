"""The section of a page that shows a dataset at a glance, from its ``glance.json``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from markupsafe import Markup

from mmdet_jetson.contract.records import ContractError, read_record
from mmdet_jetson.stages.annotations.glance_file import FILE, MOST_BOXES, Glance, Sample
from mmdet_jetson.stages.reporting.dataset_charts import SPLIT_NAMES, glance_charts
from mmdet_jetson.stages.reporting.templates import environment

# Neighbours on the colour circle a golden angle apart stay distinct however many there are.
_GOLDEN_RATIO = 0.618033988749895
_MOST_NAMED = 40
"""Boxes of one picture from which on their classes would hide it."""


@dataclass(frozen=True)
class Outlines:
    """The boxes of one class in a picture, as the data of an SVG path."""

    hue: int
    path: str


@dataclass(frozen=True)
class Name:
    """A class's name at a box of the picture."""

    hue: int
    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Shown:
    """A sample and how its boxes are drawn."""

    sample: Sample
    outlines: Tuple[Outlines, ...]
    names: Tuple[Name, ...]


def glance_section(dataset: Path) -> Optional[Markup]:
    """The section, for a page with the report's CSS variables; None where there is no glance.

    ``dataset`` is the folder of the artifact. Headings are of the third level.
    """
    if not (dataset / FILE).is_file():
        return None
    try:
        glance = read_record(dataset / FILE, Glance)
    except ContractError as error:
        sentence = "The dataset's glance cannot be shown, as another version made it: {}."
        return Markup('<p class="soft">{}</p>').format(sentence.format(error))
    return render_glance(glance)


def render_glance(glance: Glance) -> Markup:
    """The section of a glance that is at hand."""
    text = (
        environment()
        .get_template("dataset_glance.html.j2")
        .render(
            glance=glance,
            charts=glance_charts(glance),
            samples=[_shown(sample, glance.classes) for sample in glance.samples],
            split_names=SPLIT_NAMES,
            most_boxes=MOST_BOXES,
        )
    )
    return Markup(text)  # noqa: S704 - the template escapes every value


def _shown(sample: Sample, classes: Sequence[str]) -> Shown:
    paths: Dict[int, List[str]] = {}
    for each in sample.boxes:
        x, y, width, height = each.box
        paths.setdefault(each.label, []).append(f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}z")
    outlines = (Outlines(_hue(label), "".join(boxes)) for label, boxes in paths.items())
    named = sample.boxes if len(sample.boxes) <= _MOST_NAMED else ()
    names = (_name(each.label, each.box, sample, classes) for each in named)
    return Shown(sample, tuple(outlines), tuple(names))


def _name(
    label: int, box: Tuple[float, float, float, float], sample: Sample, classes: Sequence[str]
) -> Name:
    """Above the box, or inside it at the top where there is no room; never past the right edge."""
    x, y, _, _ = box
    text = classes[label] if len(classes[label]) <= 20 else f"{classes[label][:19]}…"
    room = max(0.0, sample.size[0] - 7 * len(text))
    return Name(
        _hue(label), text, round(min(x + 1, room), 1), round(y - 3 if y > 14 else y + 12, 1)
    )


def _hue(label: int) -> int:
    """A class's hue in degrees."""
    return round(360 * ((0.58 + label * _GOLDEN_RATIO) % 1))
