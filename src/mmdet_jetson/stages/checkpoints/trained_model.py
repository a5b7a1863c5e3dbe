"""A `checkpoint` artifact, opened: the config, the weights' file and the class names.

Its config is Python, which runs, so it is opened only where its training ran as well.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from mmengine import Config
from torch import nn

from mmdet_jetson.stages.checkpoints.config_file import read_config
from mmdet_jetson.stages.checkpoints.models import build_model, ready_to_detect
from mmdet_jetson.stages.checkpoints.weights import match_weights, read_weights
from mmdet_jetson.stages.errors import StageError

ADVICE = "train again"


@dataclass(frozen=True)
class TrainedModel:
    """A model whose weights are known to belong to its config.

    ``network`` has them, in evaluation mode, on the CPU.
    """

    config: Config
    weights: Path
    classes: Tuple[str, ...]
    network: nn.Module

    @property
    def description(self) -> str:
        """Name the kind of model and of head: ``RTMDet with RTMDetSepBNHead``."""
        model = self.config.model
        head = model.get("bbox_head") or model.get("roi_head") or {}
        return f"{model.type} with {head['type']}" if "type" in head else str(model.type)


def load_trained_model(folder: Path) -> TrainedModel:
    """Open ``config.py`` and ``best.pth`` of a checkpoint.

    MMDeploy and MMEngine load weights that do not match with no more than a warning, so that is
    checked here.

    Raises:
        StageError: one of the two is damaged, they do not match, or class names are missing.
    """
    config, weights = _read_config(folder / "config.py"), folder / "best.pth"
    classes = classes_of(config)
    model = build_model(config, "the checkpoint's config.py", ADVICE)
    matched = match_weights(model, read_weights(weights, ADVICE))
    matched.check_complete()
    return TrainedModel(config, weights, classes, ready_to_detect(model, matched.weights))


def _read_config(path: Path) -> Config:
    return read_config(path, path.parent, f"the checkpoint's {path.name}", ADVICE)


def classes_of(config: Config) -> Tuple[str, ...]:
    """Give the class names that a training has written into its config.

    Raises:
        StageError: there are none.
    """
    try:
        return tuple(config.test_dataloader.dataset.metainfo["classes"])
    except (AttributeError, KeyError, TypeError):
        raise StageError(
            "the checkpoint's config.py has no test_dataloader.dataset.metainfo with classes",
            "train again with the stage train, which writes them",
        ) from None
