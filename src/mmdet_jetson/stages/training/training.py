"""A training from config to published checkpoint, through MMEngine's Runner.

A training that was killed goes on from its newest whole checkpoint in the job's work folder; how
much is lost is the config's checkpoint interval. One seed gives one result on one machine's CPU,
with the same number of threads. A GPU adds in an order of its own, and a resumed run draws other
random numbers, so those two come close but not to the bit.
"""

import json
import platform
import shutil
import time
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import mmcv
import mmdet
import mmengine
import torch
from mmengine import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from torch import distributed

from mmdet_jetson.contract.job import EVENT_FILES, Result
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.stages.checkpoints.checkpoint_file import only_tensors
from mmdet_jetson.stages.checkpoints.config_file import copy_modules
from mmdet_jetson.stages.checkpoints.models import build_model
from mmdet_jetson.stages.checkpoints.weights import (
    find_weights,
    match_weights,
    newest_whole,
    publish,
    read_weights,
    save,
)
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.place import ALONE, Place
from mmdet_jetson.stages.training import mmdet_config
from mmdet_jetson.stages.training.configuring import BUILD_ADVICE, prepare
from mmdet_jetson.stages.training.default_hooks import EPOCH_FILE, set_checkpoint_hook
from mmdet_jetson.stages.training.explanations import explained
from mmdet_jetson.stages.training.group import of_first
from mmdet_jetson.stages.training.recording import Recorder, write_event_files
from mmdet_jetson.stages.training.settled_config import SettledConfig
from mmdet_jetson.stages.training.sharing import (
    SharedRunner,
    effective_batch,
    hooks_for,
    share_out,
)
from mmdet_jetson.stages.training.training_data import check_data
from mmdet_jetson.stages.training.training_watch import (
    TrainingWatch,
    ValidationFigures,
    training_curve,
    validations,
)


def train(job: StageJob[TrainParameters], device: str, place: Place = ALONE) -> Result:
    """Train on "cuda" or "cpu", then write the `checkpoint` artifact.

    Every process that shares the training out does the same; the first one alone writes.
    """
    prepared = prepare(job, device)
    config = prepared.config
    warnings = check_data(job.inputs["dataset"], job.parameters.classes, config)
    warnings += [*prepared.warnings, *prepared.weights.warnings("weights" in job.inputs)]
    start, remarks = _starting_weights(job, config, place)
    portable = mmdet_config.portable(config, job.parameters.classes)
    facts = {**_facts(device), **_pace(config, place)}
    warnings += share_out(config, place, device)
    watch = TrainingWatch(job)
    with only_tensors(), explained(watch, config):
        runner = _build_runner(job, config, start, place)
        hooks = [*hooks_for(place, job.parameters.seed), *([Recorder(job)] if place.leads else [])]
        for hook in (*hooks, watch):
            runner.register_hook(hook)
        began = time.monotonic()
        runner.train()
    if not place.leads:
        return Result()
    seconds = round(time.monotonic() - began, 1)
    metrics, more = _write_outputs(job, runner, portable, device)
    return Result(
        metrics={**metrics, "seconds": seconds},
        facts=facts,
        warnings=(*warnings, *remarks, *more),
    )


def _starting_weights(
    job: StageJob[TrainParameters], config: Config, place: Place
) -> Tuple[Optional[Path], List[str]]:
    """Give the file to start from, if there is one, and what the user should know about it."""
    model = build_model(config, "the training config", BUILD_ADVICE)
    if "weights" not in job.inputs:
        return None, _without_weights(config)
    path = find_weights(job.inputs["weights"])
    matched = match_weights(model, read_weights(path))
    matched.check_related(path.name)
    # MMEngine's EMAHook needs the wrapping that plain files lack, and its loader goes on whatever
    # does not match; this copy is what has been checked.
    checked = job.work / "weights.pth"
    if place.leads:
        save({"state_dict": matched.weights}, checked)
    if place.world > 1:
        distributed.barrier()
    return checked, matched.warnings(path.name)


def _without_weights(config: Config) -> List[str]:
    if config.model.get("backbone", {}).get("frozen_stages", -1) <= 0:
        return []
    return [
        "the training config freezes stages of the backbone: without train.weights their "
        "weights stay random"
    ]


def _build_runner(
    job: StageJob[TrainParameters], config: Config, start: Optional[Path], place: Place
) -> Runner:
    # One of them looks, for a file system that machines share may show them different files.
    resumable = of_first(newest_whole(job.work) if place.leads else None)
    config.work_dir = str(job.work)
    config.resume = resumable is not None
    config.load_from = str(resumable or start) if resumable or start else None
    set_checkpoint_hook(config)
    if resumable is None and place.leads:
        shutil.rmtree(job.work / EVENT_FILES, ignore_errors=True)
    write_event_files(config, job.work / EVENT_FILES)
    return SharedRunner.from_cfg(SettledConfig.of(config))


def _write_outputs(
    job: StageJob[TrainParameters], runner: Runner, config: Config, device: str
) -> Tuple[Dict[str, Optional[float]], List[str]]:
    """Write the artifact; return the best epoch's figures and warnings."""
    folder, hub = job.output, runner.message_hub
    last = job.work / EPOCH_FILE.format(runner.epoch)
    best = Path(hub.runtime_info.get("best_ckpt", last))
    publish(last, folder / "last.pth")
    epoch = publish(best if best.is_file() else last, folder / "best.pth")
    config.dump(str(folder / "config.py"))
    copy_modules(job.inputs["config"], folder)
    shutil.copytree(job.work / EVENT_FILES, folder / EVENT_FILES)
    logs = sorted(job.work.glob("*/*.log"))
    (folder / "train.log").write_text("".join(path.read_text() for path in logs))
    figures = _figures(hub, epoch)
    metrics = {
        "best": {"epoch": epoch, "AP": figures.get("AP")},
        "epochs": runner.epoch,
        "curves": {
            "train": training_curve(hub, len(runner.train_dataloader)),
            "val": validations(hub),
        },
        "device": device,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    return {**figures, "epochs": runner.epoch}, [*_ended_early(runner), *_remarks(best, hub)]


def _figures(hub: MessageHub, epoch: int) -> ValidationFigures:
    return next((entry for entry in validations(hub) if entry["epoch"] == epoch), {})


def _ended_early(runner: Runner) -> List[str]:
    if runner.epoch >= runner.max_epochs:
        return []
    return [
        f"the training ended after epoch {runner.epoch} of {runner.max_epochs}: a hook of the "
        "training config stopped it (train.log says why)"
    ]


def _remarks(best: Path, hub: MessageHub) -> List[str]:
    if any(entry["AP"] for entry in validations(hub)) and best.is_file():
        return []
    return [
        "no validation found an object, so best.pth is no better than any other checkpoint; "
        "train for longer, or check that the annotations match the pictures"
    ]


def _pace(config: Config, place: Place) -> Dict[str, object]:
    """Say how the training is shared out, and what its learning rate is multiplied by."""
    batch = effective_batch(config)
    scaling = config.get("auto_scale_lr") or {}
    scaled: Dict[str, object] = {}
    if scaling.get("enable"):
        base = scaling["base_batch_size"]
        scaled = {"base_batch_size": base, "learning_rate_scale": batch / base}
    return {
        "nodes": place.nodes,
        "processes": place.local_world,
        "effective_batch": batch,
        "batch_per_process": batch // place.world,
        **scaled,
    }


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
