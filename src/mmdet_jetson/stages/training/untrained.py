"""A training's model before it is trained: its config, and a checkpoint of random weights."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import List, Optional, Tuple

from mmengine import Config
from mmengine.runner import set_random_seed

from mmdet_jetson.contract.parameters.train import (
    ModelParameters,
    TrainingParts,
    TrainParameters,
)
from mmdet_jetson.stages.checkpoints.models import build_model
from mmdet_jetson.stages.checkpoints.weights import save
from mmdet_jetson.stages.job import P, StageJob
from mmdet_jetson.stages.training import mmdet_config
from mmdet_jetson.stages.training.configuring import BUILD_ADVICE, prepare
from mmdet_jetson.stages.training.earlier_sections import earlier_warnings

SEED = 0


def untrained_config(
    model: ModelParameters, job: StageJob[P], training: Optional[TrainingParts] = None
) -> Tuple[Config, List[str]]:
    """Read the training config in the job's input ``config`` as a training does.

    The result is what the training would leave in its checkpoint, but for how it trained. What
    else the ``training`` builds is looked at, too, where it is given, and there are warnings of
    what it would not use: those that are the same on every device.

    Raises:
        StageError: a training would refuse it.
    """
    told = TrainParameters(
        epochs=None, batch_size=None, seed=SEED, workers=0, device="cpu", **asdict(model)
    )
    if training:
        overrides = {**model.overrides, **training.overrides}
        told = replace(told, overrides=overrides, scale_lr=training.scale_lr)
    reading = StageJob(told, job.inputs, job.output, job.work)
    prepared = prepare(reading, told.device, trains=training is not None)
    warnings = []
    if training:
        warnings = earlier_warnings(prepared.config)
        warnings += prepared.weights.warnings(training.has_weights)
    return mmdet_config.portable(prepared.config, model.classes), warnings


def write_untrained(config: Config, folder: Path) -> None:
    """Write ``config.py`` and ``best.pth`` of a checkpoint whose weights are random into a folder.

    Raises:
        StageError: MMDetection cannot build the model.
    """
    set_random_seed(SEED)
    model = build_model(config, "the training config", BUILD_ADVICE)
    model.init_weights()
    config.dump(str(folder / "config.py"))
    save({"meta": {}, "state_dict": model.state_dict()}, folder / "best.pth")
