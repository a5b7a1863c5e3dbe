"""What a training records as it goes: TensorBoard's files, and figures by epoch.

MMEngine's own back end writes the files, by torch's writer. They lie in the job's work folder,
which may be in a container on another machine; so what is new in them is told to the runtime, which
has a copy of them where a person looks.
"""

import math
import time
from base64 import b64encode
from pathlib import Path
from typing import Dict, List, Mapping, Optional

import numpy as np
from mmengine import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import TensorboardVisBackend
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from mmdet_jetson.contract.job import Recorded
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.stages.job import StageJob
from mmdet_jetson.stages.training.adaptation import LOCAL, TENSORBOARD

LOGGER = "LoggerHook"
SECONDS = 10.0
"""How old the copy may be while a training runs."""
LARGEST = 1 << 20
"""How many bytes of a file one line carries."""


def write_event_files(config: Config, folder: Path) -> None:
    """Let a training's visualizer write TensorBoard's files into a folder, besides what it does."""
    visualizer = config.get("visualizer") or ConfigDict(type="Visualizer", name="visualizer")
    backends: List[ConfigDict] = list(visualizer.get("vis_backends") or [ConfigDict(type=LOCAL)])
    ours = ConfigDict(type=TENSORBOARD, save_dir=str(folder))
    if any("name" in each for each in backends):  # then MMEngine wants one for every back end
        ours.name = TENSORBOARD
    visualizer.vis_backends = [*backends, ours]
    config.visualizer = visualizer
    _log_short_epochs(config)


def _log_short_epochs(config: Config) -> None:
    """Let losses be logged at an epoch's end as well, unless the config says otherwise.

    Else MMEngine 0.7.1 logs none of an epoch that is shorter than the logger's interval.
    """
    hooks = config.get("default_hooks") or ConfigDict()
    logger = hooks.get("logger", ConfigDict(type=LOGGER))
    if isinstance(logger, dict) and logger.get("type", LOGGER) == LOGGER:
        config.default_hooks = ConfigDict({**hooks, "logger": {"ignore_last": False, **logger}})


class Recorder(Hook):  # type: ignore[misc]  # mmengine has no types
    """Tell what is new in the event files, and the figures of every epoch."""

    # After MMEngine's own hooks, which write the figures.
    priority = "LOWEST"

    def __init__(self, job: StageJob[TrainParameters]) -> None:
        self._job = job
        self._sent: Dict[str, int] = {}
        self._last = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Say whether it starts anew; if not, TensorBoard is to forget what came to nothing.

        That is what an earlier run logged behind the checkpoint that this one goes on from.
        """
        if runner.iter:
            log = Event(session_log=SessionLog(status=SessionLog.START))
            _writer(runner).experiment.file_writer.add_event(log, runner.iter + 1)
        self._tell(runner, Recorded(begins=not runner.iter))
        self._tell_files(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Tell what is new, now and then."""
        if time.monotonic() - self._last >= SECONDS:
            self._tell_files(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Tell the epoch's means of the losses and of the learning rate.

        MMEngine counts the epoch only behind this.
        """
        steps = len(runner.train_dataloader)
        scalars = runner.message_hub.log_scalars.items()
        means = {
            name: float(np.mean(buffer.data[0][-steps:]))
            for name, buffer in scalars
            if name.startswith("train/") and ("loss" in name or name == "train/lr")
        }
        self._tell_figures(runner, runner.epoch + 1, means)

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Mapping[str, float]] = None
    ) -> None:
        """Tell what the validation has found."""
        self._tell_figures(runner, runner.epoch, metrics or {})
        self._tell_files(runner)

    def after_run(self, runner: Runner) -> None:
        """Tell the rest."""
        self._tell_files(runner)

    def _tell_figures(self, runner: Runner, epoch: int, figures: Mapping[str, float]) -> None:
        # pycocotools says -1 where there was nothing to judge.
        known = {k: float(v) for k, v in figures.items() if math.isfinite(v) and v >= 0}
        self._tell(runner, Recorded(epoch=epoch, figures=known))

    def _tell_files(self, runner: Runner) -> None:
        self._last = time.monotonic()
        writer = _writer(runner)
        writer.experiment.flush()
        for path in sorted(Path(writer.experiment.log_dir).glob("*.tfevents.*")):
            with path.open("rb") as stream:
                stream.seek(self._sent.get(path.name, 0))
                for content in iter(lambda: stream.read(LARGEST), b""):
                    at = self._sent.get(path.name, 0)
                    text = b64encode(content).decode()
                    self._tell(runner, Recorded(file=path.name, offset=at, content=text))
                    self._sent[path.name] = at + len(content)

    def _tell(self, runner: Runner, recorded: Recorded) -> None:
        label = f"epoch {min(runner.epoch + 1, runner.max_epochs)}/{runner.max_epochs}"
        self._job.record(recorded, runner.iter, runner.max_iters, label)


def _writer(runner: Runner) -> TensorboardVisBackend:
    backends = runner.visualizer._vis_backends.values()
    return next(each for each in backends if isinstance(each, TensorboardVisBackend))
