"""`[model]`: a model that is trained already, and what a configuration needs with or without it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.targets import Target
from mmdet_jetson.config.toml import Section
from mmdet_jetson.errors import ConfigError

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Model(Section, frozen=True):
    """A model that is trained already, in place of a training: its checkpoint and its config.

    The checkpoint is a name in ``sources.toml``, a file, or an artifact of the store, which has a
    config of its own. The config is a path or ``mmdet::...``, one of MMDetection's; without one it
    is a ``config.py`` beside the file, or what the checkpoint says of itself.
    """

    checkpoint: NonEmpty
    config: NonEmpty | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


def check_origin(path: Path, model: Model | None, train: object, classes: Sequence[str]) -> None:
    """Check that something makes or brings a checkpoint, and that a training has classes.

    Raises:
        ConfigError: nothing does, or it has none.
    """
    if model is None and train is None:
        raise ConfigError(
            f"{path}: train: needed, unless there is a [model] that is trained already",
            'write [train] with config = "configs/train/...", or [model] with checkpoint = "..."',
        )
    if model is None and not classes:
        raise ConfigError(
            f"{path}: dataset.classes: needed for a training", 'write classes = ["..."]'
        )


def check_calibration(path: Path, targets: Mapping[str, Target]) -> None:
    """Refuse engines in 8 bits of a project that names no training pictures to calibrate with.

    Raises:
        ConfigError: a target that is built for is in 8 bits.
    """
    for name, target in targets.items():
        if target.precision == "int8":
            raise ConfigError(
                f"{path}: dataset.train: needed for {name}, whose 8 bits are calibrated with "
                "training pictures",
                "name pictures like those that it was trained with, none of them of the "
                'validation split: train = { pictures = "...", annotations = "..." }',
            )
