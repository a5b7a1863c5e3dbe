"""What decoding has in common for all heads."""

from typing import List, Sequence

import torch
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size

PARTS = ("predict_by_feat", "_predict_by_feat_single", "_bbox_post_process")


def like(head: nn.Module, kind: type) -> bool:
    """Whether a head predicts with the very methods of a class, or of one that it inherits from."""
    return isinstance(head, kind) and all(
        getattr(type(head), part, None) is getattr(kind, part, None) for part in PARTS
    )


def flat(maps: Sequence[Tensor], width: int) -> Tensor:
    """Join levels [batch, priors * width, height, width] to [batch, n, width]."""
    batch = len(maps[0])
    levels: List[Tensor] = [level.permute(0, 2, 3, 1).reshape(batch, -1, width) for level in maps]
    return torch.cat(levels, 1)


def with_column(levels: Sequence[Tensor], values: Sequence[float]) -> Tensor:
    """Join levels [n, width] of priors to [all, width + 1]: the value of its level behind each."""
    rows = [
        torch.cat([level, level.new_full((len(level), 1), value)], 1)
        for level, value in zip(levels, values)
    ]
    return torch.cat(rows)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Cut boxes off at the borders of the input, (width, height)."""
    limits = boxes.new_tensor([*size, *size])
    return torch.min(torch.max(boxes, boxes.new_zeros(1)), limits)
