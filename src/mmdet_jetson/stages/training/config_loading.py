"""The user's training config, read; one of a kind that cannot be trained here is refused."""

from copy import deepcopy
from pathlib import Path
from typing import Optional

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine import Config, ConfigDict
from mmengine.dataset import ConcatDataset

from mmdet_jetson.stages.checkpoints.config_file import read_config
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.training.boxes_only import segmentation
from mmdet_jetson.stages.training.mmdet_config import DATALOADERS, EVALUATORS, innermost
from mmdet_jetson.stages.training.registered import registered

ADVICE = "a config that MMDetection's own tools/train.py can read works here as well"
# What CocoMetric calls the figures that a training is watched by.
PREFIX = "coco"
# What no training needs.
TESTING = ("test_dataloader", "test_evaluator")


def load_config(path: Path, home: Optional[Path] = None) -> Config:
    """Read a config file with its ``_base_`` files and the user's own modules.

    ``home`` is the folder that has these modules below it, the config's own where it is None.

    Raises:
        StageError: it is missing, is not valid Python, or is no epoch-based training config of a
            detector of boxes, trained and judged as COCO is.
    """
    if not path.is_file():
        raise StageError(f"there is no training config {path.name}", f"looked in {path.parent}")
    name = f"the training config {path.name}"
    config = read_config(path, home or path.parent, name, ADVICE)
    _fill_in(config)
    _check_sections(config, name)
    for key in EVALUATORS:
        _check_evaluator(config, key, name)
    for key in DATALOADERS:
        _check_dataset(config, key, name)
    return config


def _check_sections(config: Config, name: str) -> None:
    needed = ("model", "train_cfg", "optim_wrapper", *DATALOADERS, *EVALUATORS)
    missing = [key for key in needed if not config.get(key)]
    if missing:
        raise StageError(
            f"{name} has no {missing[0]}",
            "start from one of MMDetection's own: _base_ = 'mmdet::rtmdet/...'",
        )
    if "max_epochs" not in config.train_cfg:
        raise StageError(
            f"{name} does not count in epochs (train_cfg.max_epochs)",
            "use a config with an EpochBasedTrainLoop",
        )
    epochs = config.train_cfg.max_epochs
    if isinstance(epochs, float) and epochs.is_integer():
        config.train_cfg.max_epochs = int(epochs)


def _fill_in(config: Config) -> None:
    """Test as is validated where a config does not say how; both take MMEngine's one loop."""
    for validating, testing in zip(("val_dataloader", "val_evaluator"), TESTING):
        if config.get(testing) is None and config.get(validating):
            config[testing] = deepcopy(config[validating])
    for key, kind in (("val_cfg", "ValLoop"), ("test_cfg", "TestLoop")):
        if config.get(key) is None:
            config[key] = ConfigDict(type=kind)


def _check_evaluator(config: Config, key: str, name: str) -> None:
    if isinstance(config[key], (list, tuple)) and len(config[key]) == 1:
        config[key] = config[key][0]
    if not isinstance(config[key], dict):
        raise StageError(
            f"{key} of {name} is a list of evaluators",
            "keep only its CocoMetric",
        )
    metric = config[key].get("metric", "bbox")
    metrics = list(metric) if isinstance(metric, (list, tuple)) else [metric]
    if "segm" in metrics:
        raise segmentation(name, f"metric of its {key}")
    kind = registered(METRICS, config[key].get("type"), f"{key} of {name}")
    if not issubclass(kind, CocoMetric) or getattr(kind, "default_prefix", "") != PREFIX:
        raise StageError(
            f"{key} of {name} is a {config[key].type}, but trainings are judged as COCO's are",
            f"set {key} to dict(_delete_=True, type='CocoMetric', metric='bbox')",
        )
    if "bbox" not in metrics:
        raise StageError(
            f"{key} of {name} measures {metric!r} and not 'bbox', which a training is judged by",
            f"set metric='bbox' in {key}",
        )
    if isinstance(metric, tuple):
        # CocoMetric takes a tuple for the name of one.
        config[key].metric = metrics


def _check_dataset(config: Config, key: str, name: str) -> None:
    config[key].dataset = _without_joins_of_one(config[key].dataset)
    dataset = innermost(config[key].dataset)
    if "datasets" in dataset:
        raise StageError(
            f"{key} of {name} joins several datasets",
            "use a single one, without ConcatDataset: the pipeline provides one dataset",
        )
    kind = registered(DATASETS, dataset.get("type"), f"the dataset in {key} of {name}")
    if not issubclass(kind, CocoDataset):
        raise StageError(
            f"{key} of {name} reads a {dataset.type}, but the pipeline writes COCO's format, "
            "whatever the annotations were",
            f"set the type of the dataset in {key} to 'CocoDataset'",
        )


def _without_joins_of_one(dataset: ConfigDict) -> ConfigDict:
    """Take a dataset for a join of nothing else, which has the same pictures in the same order."""
    joined = dataset.get("datasets")
    if isinstance(joined, (list, tuple)) and len(joined) == 1 and isinstance(joined[0], dict):
        kind = DATASETS.get(dataset.get("type") or "")
        if isinstance(kind, type) and issubclass(kind, ConcatDataset):
            return _without_joins_of_one(joined[0])
    if isinstance(dataset.get("dataset"), dict):
        dataset.dataset = _without_joins_of_one(dataset.dataset)
    return dataset
