"""``[dataset]``: what may stand there, and what that must agree on."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.model import NonEmpty
from mmdet_jetson.config.toml import Positive, Section, check_choice, nearest, pattern
from mmdet_jetson.contract.formats import DRAWN, FORMATS
from mmdet_jetson.contract.grouping import BY_NAMES, pattern_of
from mmdet_jetson.errors import ConfigError

# What leads out of a source is in no digest: a change of it would go unseen.
Inside = Annotated[
    str,
    pattern(
        r"^(?!/)(?!(.*/)?\.\.(/|$))",
        "a path inside the source is relative and has no '..' in it; the source may be a folder "
        "further up",
    ),
]
Pixels = Annotated[int, msgspec.Meta(ge=32, le=4096)]


class Split(Section, frozen=True):
    """Where the pictures and the annotations of one split lie inside the dataset's source."""

    pictures: Inside
    annotations: Inside


class Drawn(Section, frozen=True):
    """How many pictures to draw, and how large (width, height in pixels)."""

    train: Positive
    val: Positive
    size: tuple[Pixels, Pixels] = (320, 240)
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class Dataset(Section, frozen=True):
    """What to learn from: a source in one of the annotation formats, or pictures that we draw."""

    classes: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)] = ()
    """Empty, with ``[model]`` alone, for those of the checkpoint."""
    format: str = "via"
    source: NonEmpty | None = None
    label_attribute: str = "label"
    default_class: str | None = None
    train: Split | None = None
    val: Split | None = None
    drawn: Drawn | None = None
    others: Literal["refuse", "ignore"] = "refuse"
    """What becomes of an object whose class is none of ``classes``."""
    rename: dict[str, str] = msgspec.field(default_factory=dict)
    """Which class a name in the annotation files means."""
    split: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    """The share of ``train`` that becomes the validation split, in place of ``val``."""
    split_seed: Annotated[int, msgspec.Meta(ge=0)] | None = None
    group: NonEmpty | None = None
    """Which pictures stay together then: see `contract.grouping`."""


def check_dataset(dataset: Dataset, path: Path, *, trains: bool) -> None:
    """Check what no single field can tell.

    Raises:
        ConfigError: fields contradict each other, or one is missing.
    """
    check_choice(f"{path}: dataset.format", dataset.format, (*FORMATS, DRAWN))
    _check_names(dataset, path)
    _check_apart(dataset, path)
    _check_split(dataset, path)
    _check_format(dataset, path, trains=trains)


def _check_apart(dataset: Dataset, path: Path) -> None:
    """Check that what validates is not what is trained on."""
    if dataset.val is not None and dataset.val == dataset.train:
        raise ConfigError(
            f"{path}: dataset.val: names the same pictures and annotations as dataset.train",
            "remove val, and set a share of train aside: split = 0.2",
        )


def _check_names(dataset: Dataset, path: Path) -> None:
    """Check that the classes that are named are those of the dataset."""
    if dataset.classes and dataset.default_class not in (None, *dataset.classes):
        raise ConfigError(
            f"{path}: dataset.default_class: {dataset.default_class!r} is not in dataset.classes",
            nearest(str(dataset.default_class), dataset.classes),
        )
    for name, meant in dataset.rename.items() if dataset.classes else ():
        place = f"{path}: dataset.rename: {name!r}"
        if name in dataset.classes and meant not in dataset.classes:
            raise ConfigError(
                f"{place}: {meant!r} is not in dataset.classes",
                f"the name in the files comes first: rename = {{ {meant!r} = {name!r} }}",
            )
        check_choice(place, meant, dataset.classes)


def _check_format(dataset: Dataset, path: Path, *, trains: bool) -> None:
    """Check that the fields of a dataset are those that its format has."""
    files, drawn = ("source", "train", "val"), ("drawn",)
    needed: tuple[str, ...]
    needed, senseless = (drawn, files) if dataset.format == DRAWN else (files, drawn)
    for field in needed:
        if field == "val" and dataset.split is not None:
            continue
        if field == "train" and not trains and dataset.split is None:
            continue  # of use to calibration alone: `check_calibration`
        if getattr(dataset, field) is None:
            raise ConfigError(
                f"{path}: dataset.{field}: needed for format {dataset.format!r}",
                "name the validation pictures, or set a share of train aside: split = 0.2"
                if field == "val"
                else "",
            )
    if dataset.format == DRAWN:
        senseless = (*senseless, "others", "rename")
    for field in senseless:
        if getattr(dataset, field) not in (None, "refuse", {}):
            raise ConfigError(
                f"{path}: dataset.{field}: has no meaning for format {dataset.format!r}",
                "remove it, or change dataset.format",
            )


def _check_split(dataset: Dataset, path: Path) -> None:
    """Check that a split has something to be made of, and that nothing is said without one."""
    if dataset.split is None:
        for field in ("split_seed", "group"):
            if getattr(dataset, field) is not None:
                raise ConfigError(
                    f"{path}: dataset.{field}: has no meaning without dataset.split",
                    "remove it, or say which share of the pictures validates: split = 0.2",
                )
        return
    if dataset.val is not None:
        raise ConfigError(
            f"{path}: dataset.split: there is a dataset.val, so nothing is to be split",
            "remove one of the two",
        )
    if dataset.format == DRAWN:
        raise ConfigError(
            f"{path}: dataset.split: has no meaning for format {DRAWN!r}",
            "dataset.drawn says how many pictures each split has",
        )
    try:
        pattern_of(dataset.group or BY_NAMES)
    except ValueError as error:
        raise ConfigError(
            f"{path}: dataset.group: {error}",
            'say "names", "none", a key of the picture\'s entry such as "video_id", '
            "or a regular expression with one group such as '^(.*)_[0-9]+'",
        ) from error
