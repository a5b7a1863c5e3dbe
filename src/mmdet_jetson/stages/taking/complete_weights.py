"""Weights held against their model: all of it, or nothing is taken.

A model that lacks a layer detects noise, and MMEngine would say so in its log alone.
"""

import math
from typing import Dict, List, Optional, Tuple

import torch
from torch import nn

from mmdet_jetson.stages.checkpoints.weights import (
    COUNTER,
    ENOUGH,
    MatchedWeights,
    StateDict,
    listed,
    match_weights,
)
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.taking.found import Found

# What normalises pictures; a model has them of its config, and saves none.
NORMALISING = ("data_preprocessor.mean", "data_preprocessor.std")
# By what a model of another project's is known: part of the names of its weights.
PROJECTS = {
    "head_module.": "MMYOLO, whose models have other layers",
    "head.stems.": "Megvii's YOLOX, which names its weights otherwise",
    "backbone.body.": "torchvision, which names its weights otherwise",
}
CHOOSE = "name the config that the checkpoint was trained with as model.config"


def complete_weights(model: nn.Module, found: Found) -> Dict[str, torch.Tensor]:
    """Give all weights of a model, in single precision, from what a file holds.

    Raises:
        StageError: one is missing, has another shape, or is of no layer.
    """
    own: StateDict = {k: v for k, v in found.weights.items() if k not in NORMALISING}
    _check_normalising(model, found)
    matched = match_weights(model, own)
    _check(model, matched, found, own)
    model.load_state_dict(matched.weights, strict=False)
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _check(model: nn.Module, matched: MatchedWeights, found: Found, own: StateDict) -> None:
    """Refuse what does not belong; of the counters of batches nothing depends on."""
    missing = [key for key in matched.missing if not key.endswith(COUNTER)]
    unknown = [key for key in matched.unknown if not key.endswith(COUNTER)]
    if not missing and not unknown:
        return
    hint = _hint(found)
    if matched.share < ENOUGH:
        raise StageError(
            f"the checkpoint {found.name} belongs to another model than its config: it has "
            f"{matched.share:.0%} of the numbers that {type(model).__name__} needs",
            hint,
        )
    wanted = model.state_dict()
    shapes = [key for key in missing if key in own]
    absent = [key for key in missing if key not in own]
    others = [
        f"{key} is {_shape(own[key])} there and {_shape(wanted[key])} in the model"
        for key in shapes
    ]
    parts = [
        *_part("missing", absent),
        *_part("of another shape", others),
        *_part("of no layer of it", unknown),
    ]
    share = math.floor(1000 * matched.share) / 10  # 100% would be all of it
    raise StageError(
        f"the checkpoint {found.name} does not fit its config, though it has {share}% of the "
        f"numbers: of its weights {'; '.join(parts)}",
        _hint_of_classes(others) or hint,
    )


def _part(what: str, names: List[str]) -> List[str]:
    if not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    return [f"{len(names)} {verb} {what} ({listed(names)})"]


def _shape(value: torch.Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"


def _hint_of_classes(others: List[str]) -> str:
    heads = [each for each in others if "head" in each and (".weight" in each or ".bias" in each)]
    if not heads or len(heads) < len(others):
        return ""
    return (
        "the head may have been trained with another number of classes than are named: write "
        f"dataset.classes as it was trained; or {CHOOSE}"
    )


def _hint(found: Found) -> str:
    for part, project in PROJECTS.items():
        if any(part in key for key in found.weights):
            return f"it looks like a checkpoint of {project}"
    said = found.says.get("experiment_name")
    return f"{CHOOSE}; it says that it is of {said}" if isinstance(said, str) else CHOOSE


def _check_normalising(model: nn.Module, found: Found) -> None:
    """Refuse a config that prepares pictures otherwise than the file says the training did."""
    for key in NORMALISING:
        saved, own = found.weights.get(key), _buffer(model, key)
        if saved is None or own is None:
            continue
        numbers = tuple(tuple(each.float().flatten().tolist()) for each in (saved, own))
        if not _alike(*numbers):
            raise StageError(
                f"the checkpoint {found.name} was trained with pictures of {key} "
                f"{_numbers(numbers[0])}, and its config says {_numbers(numbers[1])}",
                CHOOSE,
            )


def _alike(one: Tuple[float, ...], other: Tuple[float, ...]) -> bool:
    return len(one) == len(other) and all(abs(a - b) < 0.01 for a, b in zip(one, other))


def _numbers(numbers: Tuple[float, ...]) -> str:
    return ", ".join(f"{each:g}" for each in numbers)


def _buffer(model: nn.Module, key: str) -> Optional[torch.Tensor]:
    return dict(model.named_buffers()).get(key)
