"""What the stage `train` is told."""

from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters, Size


@dataclass(frozen=True)
class TrainParameters(Parameters):
    """``epochs`` and ``batch_size`` are the config's own where they are None.

    ``batch_size`` is that of a step, however many processes share it out. ``scale_lr`` multiplies
    the learning rate by that batch over the one that the config names as its base.

    ``config`` is a path inside the input ``config``; ``device`` is "auto", "cpu" or "cuda";
    ``overrides`` are dotted keys of the config.
    """

    config: str
    epochs: Optional[int]
    batch_size: Optional[int]
    seed: int
    workers: int
    device: str
    overrides: Mapping[str, object]
    classes: Tuple[str, ...]
    input_size: Size
    scale_lr: bool = False


@dataclass(frozen=True)
class ModelParameters:
    """What decides the model of a training and its test pipeline: `TrainParameters` without pace.

    ``overrides`` lack those of `OF_TRAINING_ALONE`.
    """

    config: str
    overrides: Mapping[str, object]
    classes: Tuple[str, ...]
    input_size: Size


OF_TRAINING_ALONE = (
    *("train_cfg", "train_dataloader", "optim_wrapper", "param_scheduler", "auto_scale_lr"),
    *("default_hooks", "custom_hooks", "randomness", "env_cfg"),
    *("visualizer", "log_processor", "log_level"),
)
"""Sections of a training config that say how weights are found, and not what they are for."""


@dataclass(frozen=True)
class TrainingParts:
    """What a training builds besides its model.

    ``overrides`` are those of `OF_TRAINING_ALONE`, with None for a number: which part there is, a
    text or a list says. ``has_weights`` tells whether there are weights to start from.
    """

    overrides: Mapping[str, object]
    has_weights: bool
    scale_lr: bool = False
