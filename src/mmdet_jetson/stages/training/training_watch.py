"""What the stage sees of a running training: progress, validations, and a loss that diverges."""

import math
from pathlib import Path
from typing import Dict, List, Mapping, Optional

import numpy as np
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.training.default_hooks import EPOCH_FILE

VALIDATIONS = "validations"
# CocoMetric's names, and ours.
FIGURES = {
    "coco/bbox_mAP": "AP",
    "coco/bbox_mAP_50": "AP50",
    "coco/bbox_mAP_75": "AP75",
    "coco/bbox_mAP_s": "AP_small",
    "coco/bbox_mAP_m": "AP_medium",
    "coco/bbox_mAP_l": "AP_large",
}
# As many points as a curve on a page can show.
POINTS = 500
# The figures of one validation, by our names, and its epoch.
ValidationFigures = Dict[str, Optional[float]]


class TrainingWatch(Hook):  # type: ignore[misc]  # mmengine has no types
    """Report every iteration, stop at a loss that is no number, validate where MMEngine does not.

    MMEngine saves an epoch's checkpoint before it validates that epoch, so a killed run may resume
    after a validation that never took place; it is made up for. And the last epoch is validated
    and saved whatever the intervals are, also where a hook has ended the training before its time.
    """

    # After MMEngine's own hooks, so that their figures and files are there.
    priority = "LOWEST"

    def __init__(self, job: StageJob[TrainParameters]) -> None:
        self._job = job
        self._metrics: Dict[str, float] = {}
        self.runner: Optional[Runner] = None
        """What trains; None until everything that the config names is built."""

    def before_train(self, runner: Runner) -> None:
        """Make up for the validation that a resumed run has missed."""
        self.runner = runner
        loop = runner.train_loop
        done = runner.epoch
        if done and done >= loop.val_begin and done % loop.val_interval == 0:
            runner.val_loop.run()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Report the loss, or stop the training because of it."""
        loss = runner.message_hub.get_scalar("train/loss").current()
        step = runner.iter + 1
        if not math.isfinite(loss):
            raise diverged(step)
        lr = runner.message_hub.get_scalar("train/lr").current()
        label = f"epoch {runner.epoch + 1}/{runner.max_epochs}"
        self._job.progress(step, runner.max_iters, label, loss=loss, lr=lr, **self._metrics)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Show that a long validation is alive."""
        label = f"validating epoch {runner.epoch}/{runner.max_epochs}"
        self._job.progress(runner.iter, runner.max_iters, label, **self._metrics)

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Mapping[str, float]] = None
    ) -> None:
        """Keep the figures with the run: they travel in its checkpoints."""
        figures = {ours: _known((metrics or {}).get(name)) for name, ours in FIGURES.items()}
        earlier = [v for v in validations(runner.message_hub) if v["epoch"] != runner.epoch]
        entry = {"epoch": runner.epoch, **figures}
        runner.message_hub.update_info(VALIDATIONS, [*earlier, entry])
        if figures["AP"] is not None:
            self._metrics = {"AP": figures["AP"]}

    def after_train(self, runner: Runner) -> None:
        """Validate and save the last epoch where the intervals left it out."""
        if all(entry["epoch"] != runner.epoch for entry in validations(runner.message_hub)):
            runner.val_loop.run()
        # MMEngine saves whatever the interval is only where it knows an epoch to be the last.
        name = EPOCH_FILE.format(runner.epoch)
        if not Path(runner.work_dir, name).is_file():
            runner.save_checkpoint(runner.work_dir, name, by_epoch=False)


def diverged(step: int) -> StageError:
    """Say that a training has come to nothing, and what helps."""
    return StageError(
        f"the loss became NaN or infinite at iteration {step}",
        "lower the learning rate, e.g. halve optim_wrapper.optimizer.lr in train.overrides, "
        "or lengthen the warm-up",
    )


def validations(hub: MessageHub) -> List[ValidationFigures]:
    """Give the figures of every validation of a run, resumed ones included, by epoch."""
    return list(hub.runtime_info.get(VALIDATIONS, []))


def training_curve(hub: MessageHub, steps_per_epoch: int) -> List[Dict[str, float]]:
    """Give losses and learning rate over the steps, averaged to at most 500 points."""
    series = {
        name[len("train/") :]: buffer.data[0]
        for name, buffer in hub.log_scalars.items()
        if name.startswith("train/") and ("loss" in name or name == "train/lr")
    }
    steps = len(series.get("loss", ()))
    width = max(1, -(-steps // POINTS))
    return [
        {
            "step": end,
            "epoch": -(-end // steps_per_epoch),
            **{name: float(np.mean(values[end - width : end])) for name, values in series.items()},
        }
        for end in range(width, steps + 1, width)
    ]


def _known(value: Optional[float]) -> Optional[float]:
    # pycocotools says -1 where there was nothing to judge.
    return None if value is None or value < 0 else float(value)
