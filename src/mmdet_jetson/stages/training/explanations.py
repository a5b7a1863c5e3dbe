"""What a training can die of, other than a bug, as sentences."""

import errno
import traceback
from contextlib import contextmanager
from typing import Iterator, Optional

import torch
from mmcv.transforms import BaseTransform
from mmengine import Config
from mmengine.dist import get_world_size

from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.place import has_lost_others
from mmdet_jetson.stages.training.training_watch import TrainingWatch, diverged

MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
# What PyTorch, MMCV and MMEngine say where something is there for a GPU only.
NEEDS_GPU = (
    *("nvidia driver", "no cuda gpus", "compiled with cuda", "compiled with gpu"),
    *("device cpu not found", "implemented on cpu", "implemented for cpu", "on gpu"),
)

# What PyTorch's data parallelism says in the second iteration of such a model.
UNUSED = "parameters that were not used in producing"
IN_WORKER = "in DataLoader worker process"
COMPARE = "compare that part, and train.overrides, with MMDetection's own configs"
WITHOUT_PACKAGE = (
    "environment `train` does not have that package: choose a config without the part that needs it"
)
OWN_CLASS = (
    "a class of your own belongs into a module that custom_imports names, beside the config or in "
    "the project's folder"
)


def advice_for(error: BaseException) -> str:
    """Say what to try where a part that a config names cannot be built."""
    reason = reason_of(error)
    if "is not installed" in reason or "No module named" in reason:
        return WITHOUT_PACKAGE
    return OWN_CLASS if "is not in the" in reason else COMPARE


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
    if has_lost_others(error):
        return None
    return (
        _known(error, config)
        or _of_shares(error)
        or _of_picture(error)
        or _of_divergence(error, watch)
        or _of_building(error, watch)
        or _of_package(error)
    )


def _known(error: Exception, config: Config) -> Optional[StageError]:
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(phrase in text for phrase in MEMORY):
        batch = config.train_dataloader.batch_size * get_world_size()
        return StageError(
            "the training ran out of memory",
            f"lower train.batch_size (it was {batch}) or input_size",
        )
    if "dataloader worker (pid" in text:
        return StageError(
            "a process that loads pictures was killed, most likely because memory ran out",
            "set train.workers to 0, or to less than it was",
        )
    if "greater than actual input size" in text:
        return StageError(
            f"the input is too small for this network: {reason_of(error)}", "raise input_size"
        )
    if not torch.cuda.is_available() and any(phrase in text for phrase in NEEDS_GPU):
        return StageError(
            "a part of the training config runs on a GPU only, and this training is on a CPU: "
            f"{reason_of(error)}",
            "train on a machine with a GPU, or choose a config without that part; the log tells "
            "which it is",
        )
    return None


def _of_shares(error: Exception) -> Optional[StageError]:
    """Tell of what a model cannot do where several processes train it, each on few pictures."""
    text = str(error).lower()
    if UNUSED in text:
        return StageError(
            "a part of the model does not take part in its loss, which several processes have to "
            "know beforehand",
            "add find_unused_parameters = True to the training config, or set train.processes to 1",
        )
    if "more than 1 value per channel" in text:
        return StageError(
            "batch norm cannot train on one picture: a process has no more in its part of a step, "
            f"or an epoch's last step has no more: {reason_of(error)}",
            "raise train.batch_size, lower train.processes, or drop incomplete batches "
            "(+train_dataloader.drop_last in train.overrides)",
        )
    return None


def _of_picture(error: Exception) -> Optional[StageError]:
    """Tell an error of a transform: its own, of their order in the config, or of a picture."""
    transform = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        caller = frame.f_locals.get("self")
        if isinstance(caller, BaseTransform):
            transform = type(caller).__name__
    reason = reason_of(error)
    if not transform and IN_WORKER in reason:
        # Its traceback has come as text, with the error itself at its end.
        transform, reason = "its pipeline", str(error).strip().splitlines()[-1]
    if not transform:
        return None
    return StageError(
        f"a picture cannot be prepared: {transform} of the training config fails: {reason}",
        "compare the pipelines of the config with MMDetection's own; the log has the traceback",
    )


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
        advice_for(error),
    )


def _of_package(error: Exception) -> Optional[StageError]:
    """Tell of a package that is asked for no sooner than in an iteration."""
    if not isinstance(error, ImportError):
        return None
    return StageError(
        f"the training needs a package that environment `train` does not have: {reason_of(error)}",
        "choose a config without the part that needs it; the log tells which it is",
    )
