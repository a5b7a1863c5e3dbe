"""The training config as a job wants it: read, changed, and known to be one that can be used."""

import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import List, Mapping, NamedTuple

from mmdet.models.dense_heads import PAAHead
from mmdet.registry import METRICS, MODELS
from mmengine import Config
from mmengine.dataset import Compose

from mmdet_jetson.contract.custom_imports import FOLDER
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.stages.checkpoints.config_file import unscoped
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.training import mmdet_config
from mmdet_jetson.stages.training.adaptation import adapt
from mmdet_jetson.stages.training.boxes_only import check_boxes_only
from mmdet_jetson.stages.training.config_loading import load_config
from mmdet_jetson.stages.training.config_overrides import apply_overrides
from mmdet_jetson.stages.training.counts import check_counts, check_epochs
from mmdet_jetson.stages.training.default_hooks import check_checkpoint_hook
from mmdet_jetson.stages.training.earlier_sections import earlier_warnings
from mmdet_jetson.stages.training.explanations import advice_for
from mmdet_jetson.stages.training.idle_overrides import check_effective
from mmdet_jetson.stages.training.input_size import set_input_size
from mmdet_jetson.stages.training.registered import check_registered
from mmdet_jetson.stages.training.schedule import check_schedule, set_epochs
from mmdet_jetson.stages.training.starting_point import NamedWeights, take_named_weights

BUILD_ADVICE = "compare its model section, and train.overrides, with MMDetection's own configs"


class Prepared(NamedTuple):
    """A config to train with; ``weights`` are those that it named, which are no longer in it."""

    config: Config
    weights: NamedWeights
    warnings: List[str]


def prepare(job: StageJob[TrainParameters], device: str, *, trains: bool = True) -> Prepared:
    """Read the training config and change it as the job's parameters and ``device`` ask.

    The user's overrides have the last word on everything but the data and what `adapt` has to do.
    Where nothing ``trains``, what only a training builds may be anything.

    Raises:
        StageError: it is none that can be trained with; the sentence says why.
    """
    folder = job.inputs["config"]
    config = load_config(folder / job.parameters.config, folder)
    name = Path(job.parameters.config).name
    try:
        prepared = _prepared(config, job, device)
        if trains:
            check_boxes_only(prepared.config, f"the training config {name}")
            check_registered(prepared.config)
            check_checkpoint_hook(prepared.config)
            METRICS.build(prepared.config.val_evaluator)
            if None not in job.parameters.overrides.values():  # else a number may mend it
                check_counts(prepared.config)
                check_schedule(prepared.config)
        for pipeline in mmdet_config.pipelines(prepared.config):
            Compose(pipeline)
    except StageError:
        raise
    except Exception as error:  # the config can have any content at any place
        traceback.print_exc()
        raise StageError(
            f"the training config {name} cannot be used: {reason_of(error)}", advice_for(error)
        ) from error
    return prepared


def _prepared(config: Config, job: StageJob[TrainParameters], device: str) -> Prepared:
    wanted = job.parameters
    _check_overrides(wanted.overrides)
    has_modules = bool(config.get("custom_imports")) or (job.inputs["config"] / FOLDER).is_dir()
    idle = check_effective(config, wanted.overrides, has_modules=has_modules)
    idle += earlier_warnings(config)
    config = set_input_size(config, wanted.input_size)
    mmdet_config.set_class_count(config, len(wanted.classes))
    warnings = []
    if wanted.epochs:
        check_epochs(config)
        warnings = set_epochs(config, wanted.epochs)
    if wanted.batch_size:
        mmdet_config.set_batch_size(config, wanted.batch_size)
    mmdet_config.set_workers(config, wanted.workers, pin_memory=device == "cuda")
    config.randomness = {"seed": wanted.seed}
    apply_overrides(config, wanted.overrides)
    if wanted.scale_lr:
        _scale_learning_rate(config)
    config = unscoped(config)
    _check_packages(config)
    config.setdefault("default_scope", "mmdet")
    mmdet_config.set_dataset(config, str(job.inputs["dataset"]), wanted.classes)
    return Prepared(config, take_named_weights(config), [*idle, *warnings, *adapt(config, device)])


def _scale_learning_rate(config: Config) -> None:
    scaling = config.get("auto_scale_lr") or {}
    base = scaling.get("base_batch_size")
    if type(base) is not int or base < 1:
        raise StageError(
            "train.scale_lr is set, but the training config does not say which batch its learning "
            "rate is for (auto_scale_lr.base_batch_size)",
            "add auto_scale_lr = dict(base_batch_size=...) to the config, or leave train.scale_lr "
            "out and set the rate itself",
        )
    config.auto_scale_lr = {**scaling, "enable": True}


def _check_packages(config: Config) -> None:
    """Refuse a head that asks for a package in its first iteration that is not there."""
    head = config.model.get("bbox_head") or {}
    kind = MODELS.get(head.get("type", "")) if isinstance(head, dict) else None
    needs = isinstance(kind, type) and issubclass(kind, PAAHead)
    if needs and find_spec("sklearn") is None:
        raise StageError(
            f"{head['type']} assigns its training boxes with scikit-learn, which environment "
            "`train` does not have",
            "choose the config of a detector like it, such as ATSS",
        )


def _check_overrides(overrides: Mapping[str, object]) -> None:
    if any(key.lstrip("+").split(".")[0] == "custom_imports" for key in overrides):
        raise StageError(
            "train.overrides changes custom_imports, but the modules that a training can import "
            "are those that its config names",
            "write custom_imports into the training config",
        )
