"""A training from config to published checkpoint, through MMEngine's Runner.

A training that was killed goes on from its newest whole checkpoint in the job's work folder; how
much is lost is the config's checkpoint interval. One seed gives one result on one machine's CPU,
with the same number of threads. A GPU adds in an order of its own, and a resumed run draws other
random numbers, so those two come close but not to the bit.
"""

import json
import platform
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import mmcv
import mmdet
import mmengine
import torch
from mmdet.utils import register_all_modules
from mmengine import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.stages.checkpoints.checkpoint_file import only_tensors
from mmdet_jetson.stages.checkpoints.models import build_model
from mmdet_jetson.stages.checkpoints.weights import (
    find_weights,
    match_weights,
    newest_whole,
    publish,
    read_weights,
    save,
)
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.training import mmdet_config
from mmdet_jetson.stages.training.config_overrides import apply_overrides
from mmdet_jetson.stages.training.settled_config import SettledConfig
from mmdet_jetson.stages.training.training_data import check_data
from mmdet_jetson.stages.training.training_watch import (
    TrainingWatch,
    ValidationFigures,
    diverged,
    training_curve,
    validations,
)

BEST = "coco/bbox_mAP"
BUILD_ADVICE = "compare its model section, and train.overrides, with MMDetection's own configs"


def train(job: StageJob[TrainParameters], device: str) -> Result:
    """Train on "cuda" or "cpu", then write the `checkpoint` artifact."""
    register_all_modules()
    config = configure(job, device)
    warnings = check_data(job.inputs["dataset"], job.parameters.classes, config)
    downloads = mmdet_config.drop_downloads(config.model)
    start, remarks = _starting_weights(job, config, downloads)
    portable = mmdet_config.portable(config, job.parameters.classes)
    runner = _build_runner(job, config, start)
    began = time.monotonic()
    with only_tensors(), _explained(runner):
        runner.train()
    seconds = round(time.monotonic() - began, 1)
    metrics, more = _write_outputs(job, runner, portable, device)
    return Result(
        metrics={**metrics, "seconds": seconds},
        facts=_facts(device),
        warnings=(*warnings, *remarks, *more),
    )


def configure(job: StageJob[TrainParameters], device: str) -> Config:
    """Read the training config and change it as the job's parameters say.

    The user's overrides have the last word on everything but the data.
    """
    wanted = job.parameters
    config = mmdet_config.load_config(job.inputs["config"] / wanted.config)
    config = mmdet_config.set_input_size(config, wanted.input_size)
    mmdet_config.set_class_count(config, len(wanted.classes))
    if wanted.epochs:
        mmdet_config.set_epochs(config, wanted.epochs)
    if wanted.batch_size:
        mmdet_config.set_batch_size(config, wanted.batch_size)
    mmdet_config.set_workers(config, wanted.workers, pin_memory=device == "cuda")
    config.randomness = {"seed": wanted.seed}
    apply_overrides(config, wanted.overrides)
    mmdet_config.set_dataset(config, str(job.inputs["dataset"]), wanted.classes)
    return config


def _starting_weights(
    job: StageJob[TrainParameters], config: Config, downloads: List[str]
) -> Tuple[Optional[Path], List[str]]:
    """Give the file to start from, if there is one, and what the user should know about it."""
    model = build_model(config, "the training config", BUILD_ADVICE)
    if "weights" not in job.inputs:
        return None, _without_weights(config, downloads)
    path = find_weights(job.inputs["weights"])
    matched = match_weights(model, read_weights(path))
    matched.check_related(path.name)
    # MMEngine's EMAHook needs the wrapping that plain files lack, and its loader goes on whatever
    # does not match; this copy is what has been checked.
    checked = job.work / "weights.pth"
    save({"state_dict": matched.weights}, checked)
    return checked, matched.warnings(path.name)


def _without_weights(config: Config, downloads: List[str]) -> List[str]:
    remarks = [
        f"the training starts from random weights: a stage has no network to download {address}; "
        "set train.weights to start from trained ones"
        for address in downloads
    ]
    if config.model.get("backbone", {}).get("frozen_stages", -1) > 0:
        remarks.append(
            "the training config freezes stages of the backbone: without train.weights their "
            "weights stay random"
        )
    return remarks


def _build_runner(job: StageJob[TrainParameters], config: Config, start: Optional[Path]) -> Runner:
    resumable = newest_whole(job.work)
    config.work_dir = str(job.work)
    config.resume = resumable is not None
    config.load_from = str(resumable or start) if resumable or start else None
    config.setdefault("default_scope", "mmdet")
    checkpoints = config.setdefault("default_hooks", {}).setdefault("checkpoint", {})
    checkpoints.update(type="CheckpointHook", by_epoch=True, save_last=True, save_best=BEST)
    runner = Runner.from_cfg(SettledConfig.of(config))
    runner.register_hook(TrainingWatch(job))
    return runner


@contextmanager
def _explained(runner: Runner) -> Iterator[None]:
    """Turn what a training can die of, other than a bug, into a sentence."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError, MemoryError) as error:
        explanation = _explanation(error, runner)
        if explanation is None:
            raise
        raise explanation from error


def _explanation(error: Exception, runner: Runner) -> Optional[StageError]:
    # So begins what MMEngine makes of any error while it builds a part that a config names.
    if str(error).startswith("class `"):
        return StageError(
            f"MMDetection cannot build a part of the training config: {reason_of(error)}",
            "compare that part, and train.overrides, with MMDetection's own configs",
        )
    text = str(error).lower()
    memory = ("out of memory", "can't allocate memory", "cannot allocate memory")
    if isinstance(error, MemoryError) or any(phrase in text for phrase in memory):
        return StageError(
            "the training ran out of memory",
            f"lower train.batch_size (it was {runner.cfg.train_dataloader.batch_size}) "
            "or input_size",
        )
    if "dataloader worker" in text:
        return StageError(
            "a process that loads pictures was killed, most likely because memory ran out",
            "set train.workers to 0, or to less than it was",
        )
    if not all(torch.isfinite(weight).all() for weight in runner.model.parameters()):
        # With such weights MMDetection fails in various places before there is a loss.
        return diverged(runner.iter + 1)
    return None


def _write_outputs(
    job: StageJob[TrainParameters], runner: Runner, config: Config, device: str
) -> Tuple[Dict[str, Optional[float]], List[str]]:
    """Write the artifact; return the best epoch's figures and warnings."""
    folder, hub = job.output, runner.message_hub
    last = job.work / f"epoch_{runner.max_epochs}.pth"
    best = Path(hub.runtime_info.get("best_ckpt", last))
    publish(last, folder / "last.pth")
    epoch = publish(best if best.is_file() else last, folder / "best.pth")
    config.dump(str(folder / "config.py"))
    logs = sorted(job.work.glob("*/*.log"))
    (folder / "train.log").write_text("".join(path.read_text() for path in logs))
    figures = _figures(hub, epoch)
    metrics = {
        "best": {"epoch": epoch, "AP": figures.get("AP")},
        "epochs": runner.max_epochs,
        "curves": {
            "train": training_curve(hub, len(runner.train_dataloader)),
            "val": validations(hub),
        },
        "device": device,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    return {**figures, "epochs": runner.max_epochs}, _remarks(best, hub)


def _figures(hub: MessageHub, epoch: int) -> ValidationFigures:
    return next((entry for entry in validations(hub) if entry["epoch"] == epoch), {})


def _remarks(best: Path, hub: MessageHub) -> List[str]:
    if any(entry["AP"] for entry in validations(hub)) and best.is_file():
        return []
    return [
        "no validation found an object, so best.pth is no better than any other checkpoint; "
        "train for longer, or check that the annotations match the pictures"
    ]


def _facts(device: str) -> Dict[str, object]:
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "mmengine": mmengine.__version__,
        "mmcv": mmcv.__version__,
        "mmdet": mmdet.__version__,
    }
