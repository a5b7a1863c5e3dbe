"""A checkpoint as it comes: its weights and what it says of itself."""

from collections import Counter
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Optional

import torch

from mmdet_jetson.stages.checkpoints.checkpoint_file import read_checkpoint
from mmdet_jetson.stages.checkpoints.foreign import refuse_foreign
from mmdet_jetson.stages.checkpoints.weights import StateDict, tensors_of

ADVICE = "check model.checkpoint"
AVERAGED = "ema_state_dict"
# How averages lay beside the weights before MMDetection 3.
OLD_AVERAGE = "ema_"
SCALARS = (torch.float16, torch.bfloat16, torch.float64)


class Found(NamedTuple):
    """What a file holds; ``says`` is what it says of itself, ``remarks`` what to know about it."""

    name: str
    weights: StateDict
    says: Mapping[str, Any]
    remarks: List[str]

    @property
    def config(self) -> Optional[str]:
        """The text of the config that it was trained with, where it has that."""
        text = self.says.get("cfg") or self.says.get("config")
        return text if isinstance(text, str) and text.strip() else None


def open_checkpoint(path: Path) -> Found:
    """Read a checkpoint of MMEngine, or one of ``torch.save`` of a state dict.

    Of a training's checkpoint ``state_dict`` is what is taken: MMEngine's EMAHook puts the averaged
    weights there when it saves, and leaves the raw ones in ``ema_state_dict``.

    Raises:
        StageError: the file is another program's, damaged, holds no tensors, or wants to run
            something.
    """
    refuse_foreign(path)
    content = read_checkpoint(path, ADVICE)
    weights = tensors_of(content, path.name, ADVICE)
    meta = content.get("meta") if isinstance(content, dict) else None
    has_averages = isinstance(content, dict) and AVERAGED in content
    kept = _without_old_averages(weights)
    remarks = _remarks(path.name, weights, kept, has_averages=has_averages)
    return Found(path.name, kept, meta if isinstance(meta, dict) else {}, remarks)


def _without_old_averages(weights: StateDict) -> StateDict:
    """Leave out the copy of each weight that trainings with mmcv 1 saved beside it."""
    copies = {OLD_AVERAGE + name.replace(".", "_") for name in weights}
    return {name: value for name, value in weights.items() if name not in copies}


def _remarks(name: str, found: StateDict, kept: StateDict, *, has_averages: bool) -> List[str]:
    remarks = []
    if has_averages:
        remarks.append(
            f"{name} is a training's, with averaged weights (EMA): those are taken, which "
            f"MMEngine's EMAHook saves as state_dict, and not the raw ones in {AVERAGED}"
        )
    if len(kept) < len(found):
        remarks.append(
            f"{name} has {len(found) - len(kept)} weights twice (ema_...): those of state_dict by "
            "their own names are taken, as MMDetection does"
        )
    odd = Counter(str(value.dtype) for value in kept.values() if value.dtype in SCALARS)
    for dtype, count in odd.items():
        remarks.append(f"{count} weights of {name} are {dtype}: they become torch.float32")
    return remarks
