"""A `checkpoint` artifact, opened: the config, the weights' file and the class names.

A checkpoint is a pickle, so it is opened only where its training ran as well.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config
from mmengine.model import revert_sync_batchnorm

from mmdet_jetson.stages.errors import StageError, reason_of


@dataclass(frozen=True)
class TrainedModel:
    """A model whose weights are known to fit its config."""

    config: Config
    weights: Path
    classes: Tuple[str, ...]

    @property
    def description(self) -> str:
        """Name the kind of model and of head: ``RTMDet with a RTMDetSepBNHead``."""
        model = self.config.model
        head = model.get("bbox_head") or model.get("roi_head") or {}
        return f"{model.type} with a {head.get('type', 'head of its own')}"

    def network(self) -> torch.nn.Module:
        """Build the model with its weights, in evaluation mode, on the CPU."""
        model = _build(self.config)
        model.load_state_dict(_read_weights(self.weights))
        # The batch norm that spans several GPUs does not run on a CPU.
        return revert_sync_batchnorm(model).eval()


def load_trained_model(folder: Path) -> TrainedModel:
    """Open ``config.py`` and ``best.pth`` of a checkpoint.

    MMDeploy and MMEngine load weights that do not fit with no more than a warning, so the fit is
    checked here.

    Raises:
        StageError: one of the two is damaged, they do not fit, or class names are missing.
    """
    config = _read_config(folder / "config.py")
    classes = _classes(config)
    _check_fit(_build(config).state_dict(), _read_weights(folder / "best.pth"))
    return TrainedModel(config, folder / "best.pth", classes)


def _read_config(path: Path) -> Config:
    try:
        return Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:  # the file is Python: it can raise anything
        raise _damaged(path, error) from error


def _read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        weights: Mapping[str, torch.Tensor] = torch.load(str(path), map_location="cpu")[
            "state_dict"
        ]
    except Exception as error:  # a damaged pickle can raise anything
        raise _damaged(path, error) from error
    return weights


def _damaged(path: Path, error: Exception) -> StageError:
    return StageError(
        f"the checkpoint's {path.name} cannot be read: {reason_of(error)}", "train again"
    )


def _classes(config: Config) -> Tuple[str, ...]:
    try:
        return tuple(config.test_dataloader.dataset.metainfo["classes"])
    except (AttributeError, KeyError, TypeError):
        raise StageError(
            "the checkpoint's config.py has no test_dataloader.dataset.metainfo with classes",
            "train again with the stage train, which writes them",
        ) from None


def _build(config: Config) -> torch.nn.Module:
    register_all_modules(init_default_scope=True)
    try:
        return MODELS.build(deepcopy(config.model))
    except Exception as error:  # each part of a model raises its own
        raise StageError(
            f"the checkpoint's config.py describes no model that can be built: {reason_of(error)}",
            "train again",
        ) from error


def _check_fit(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> None:
    wanted, given = _shapes(expected), _shapes(found)
    wrong = [name for name in {**wanted, **given} if wanted.get(name) != given.get(name)]
    if wrong:
        raise StageError(
            f"best.pth does not fit config.py: {len(wrong)} of {len(wanted)} weights differ, the "
            f"first is {wrong[0]} ({given.get(wrong[0], 'absent')} where the config has "
            f"{wanted.get(wrong[0], 'none')})",
            "train again, so that both come from one run",
        )


def _shapes(weights: Mapping[str, torch.Tensor]) -> Dict[str, Any]:
    return {name: list(value.shape) for name, value in weights.items()}
