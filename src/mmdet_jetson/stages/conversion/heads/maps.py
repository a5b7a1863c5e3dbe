"""What decoding has in common for all heads."""

from typing import List, Sequence

import torch
from torch import Tensor

from mmdet_jetson.contract.parameters.base import Size


def flat(maps: Sequence[Tensor], width: int) -> Tensor:
    """Join levels [batch, priors * width, height, width] to [batch, n, width]."""
    batch = len(maps[0])
    levels: List[Tensor] = [level.permute(0, 2, 3, 1).reshape(batch, -1, width) for level in maps]
    return torch.cat(levels, 1)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Cut boxes off at the borders of the input, (width, height)."""
    limits = boxes.new_tensor([*size, *size])
    return torch.min(torch.max(boxes, boxes.new_zeros(1)), limits)
