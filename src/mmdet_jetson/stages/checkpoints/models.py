"""Models of MMDetection: built from a config, given weights."""

from copy import deepcopy

from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmdet_jetson.stages.checkpoints.checkpoint_file import only_tensors
from mmdet_jetson.stages.checkpoints.weights import StateDict
from mmdet_jetson.stages.errors import StageError, reason_of


def build_model(config: Config, source: str, advice: str) -> nn.Module:
    """Build the model that a config describes, on the CPU, and leave the config as it is.

    A model that opens weights while it is built, as one with a teacher does, reads tensors only.

    ``source`` is what a sentence calls the config, ``advice`` is what to try.

    Raises:
        StageError: MMDetection cannot build it.
    """
    register_all_modules()
    try:
        # Detectors write into the configs of their parts.
        with only_tensors():
            return MODELS.build(deepcopy(config.model))
    except StageError:
        raise
    except Exception as error:  # each part of a model raises its own
        raise StageError(
            f"MMDetection cannot build the model of {source}: {reason_of(error)}", advice
        ) from error


def ready_to_detect(model: nn.Module, weights: StateDict) -> nn.Module:
    """Give a model these weights, and put it into evaluation mode."""
    model.load_state_dict(weights, strict=False)
    # The batch norm that spans several GPUs does not run on a CPU.
    return revert_sync_batchnorm(model).eval()
