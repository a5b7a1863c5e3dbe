"""What `[dataset]` says of splitting one folder, and what that must agree on."""

from pathlib import Path
from typing import Protocol

from mmdet_jetson.contract.formats import DRAWN
from mmdet_jetson.contract.grouping import BY_NAMES, pattern_of
from mmdet_jetson.errors import ConfigError


class Splittable(Protocol):
    """The fields of `[dataset]` that decide how it is split."""

    @property
    def format(self) -> str: ...  # noqa: D102
    @property
    def val(self) -> object: ...  # noqa: D102
    @property
    def split(self) -> float | None: ...  # noqa: D102
    @property
    def split_seed(self) -> int | None: ...  # noqa: D102
    @property
    def group(self) -> str | None: ...  # noqa: D102


def check_split(dataset: Splittable, path: Path) -> None:
    """Check that a split has something to be made of, and that nothing is said without one.

    Raises:
        ConfigError: it has not, or something is.
    """
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
