"""What a training can die of, other than a bug, as sentences."""

import errno
import traceback
from contextlib import contextmanager
from typing import Iterator, Optional

import torch
from mmengine import Config

from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.training.training_watch import TrainingWatch, diverged

MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
# What PyTorch, MMCV and MMEngine say where something is there for a GPU only.
NEEDS_GPU = (
    *("nvidia driver", "no cuda gpus", "compiled with cuda", "compiled with gpu"),
    *("device cpu not found", "implemented on cpu", "implemented for cpu", "on gpu"),
)


@contextmanager
def explained(watch: TrainingWatch, config: Config) -> Iterator[None]:
    """Turn what a training can die of into a `StageError`; a bug goes through as it is.

    Until the first iteration everything that fails was named by the config, and is its business.
    """
    try:
        yield
    except StageError:
        raise
    except Exception as error:
        explanation = _explanation(error, watch, config)
        if explanation is None:
            raise
        traceback.print_exc()
        raise explanation from error


def _explanation(error: Exception, watch: TrainingWatch, config: Config) -> Optional[StageError]:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return None
    return _known(error, config) or _of_divergence(error, watch) or _of_building(error, watch)


def _known(error: Exception, config: Config) -> Optional[StageError]:
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(phrase in text for phrase in MEMORY):
        return StageError(
            "the training ran out of memory",
            f"lower train.batch_size (it was {config.train_dataloader.batch_size}) or input_size",
        )
    if "dataloader worker" in text:
        return StageError(
            "a process that loads pictures was killed, most likely because memory ran out",
            "set train.workers to 0, or to less than it was",
        )
    if not torch.cuda.is_available() and any(phrase in text for phrase in NEEDS_GPU):
        return StageError(
            "a part of the training config runs on a GPU only, and this training is on a CPU: "
            f"{reason_of(error)}",
            "train on a machine with a GPU, or choose a config without that part; the log tells "
            "which it is",
        )
    return None


def _of_divergence(error: Exception, watch: TrainingWatch) -> Optional[StageError]:
    runner = watch.runner
    if runner is None:
        return None
    # So says MMDetection's CheckInvalidLossHook; without it such weights fail in various places
    # before there is a loss.
    said = "infinite or nan" in str(error).lower()
    if said or not all(torch.isfinite(weight).all() for weight in runner.model.parameters()):
        return diverged(runner.iter + 1)
    return None


def _of_building(error: Exception, watch: TrainingWatch) -> Optional[StageError]:
    # MMEngine begins so what it makes of any error while it builds a part that a config names.
    if watch.runner and not str(error).startswith("class `"):
        return None
    return StageError(
        f"MMDetection cannot build a part of the training config: {reason_of(error)}",
        "compare that part, and train.overrides, with MMDetection's own configs",
    )
