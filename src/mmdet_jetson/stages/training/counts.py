"""Numbers that a training counts by, and pictures that never end.

MMEngine looks at most of them no sooner than the first epoch is over.
"""

from typing import Tuple

from mmdet.datasets.samplers import MultiSourceSampler
from mmdet.registry import DATA_SAMPLERS
from mmengine import Config
from mmengine.dataset import InfiniteSampler

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.mmdet_config import DATALOADERS

ENDLESS: Tuple[type, ...] = (InfiniteSampler, MultiSourceSampler)


def check_epochs(config: Config) -> None:
    """Refuse a training of no epoch, which cannot be stretched to any number either.

    Raises:
        StageError: says so.
    """
    _check_count(config.train_cfg.max_epochs, "train_cfg.max_epochs")


def check_counts(config: Config) -> None:
    """Hold what a training counts by against what counting takes.

    Raises:
        StageError: a number is no whole number from 1 on, or pictures come without end.
    """
    check_epochs(config)
    loop = config.train_cfg
    _check_count(loop.get("val_interval", 1), "train_cfg.val_interval")
    for entry in loop.get("dynamic_intervals") or []:
        _check_count(entry[1], "an interval in train_cfg.dynamic_intervals")
    for name in DATALOADERS:
        dataloader = config[name]
        _check_count(dataloader.get("batch_size", 1), f"{name}.batch_size")
        sampler = dataloader.get("sampler") or {}
        kind = DATA_SAMPLERS.get(sampler.get("type", ""))
        if isinstance(kind, type) and issubclass(kind, ENDLESS):
            raise StageError(
                f"the sampler in {name} of the training config is a {sampler['type']}, which gives "
                "pictures without end: an epoch of it is never over",
                f"set {name}.sampler to dict(type='DefaultSampler', shuffle="
                f"{name == DATALOADERS[0]})",
            )


def _check_count(value: object, place: str) -> None:
    if type(value) is not int or value < 1:
        raise StageError(
            f"{place} of the training config is {value!r}, which is no whole number from 1 on",
            f"set {place.rpartition(' ')[2]} to 1 or more",
        )
