"""Which input sizes a network can take: tried, since it depends on how its maps are joined."""

import torch
from torch import nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.errors import StageError

# Where maps of several levels are joined, as in RTMDet and YOLOX, the coarsest has one cell for
# 32 x 32 pixels. Others take any size, such as the 300 pixels of SSD.
STRIDE = 32


def check_size(network: nn.Module, size: Size) -> None:
    """Show a detector in evaluation mode an empty picture of ``size`` (width, height).

    Raises:
        StageError: its backbone or its neck cannot take that.
    """
    width, height = size
    try:
        with torch.no_grad():
            network.extract_feat(torch.zeros(1, 3, height, width))
    except RuntimeError as error:
        if min(size) > 0 and not (width % STRIDE or height % STRIDE):
            raise  # then the size is not what is wrong
        raise StageError(
            f"the input size {width}x{height} is not a multiple of {STRIDE} in both directions, as "
            f"this {type(network).__name__} needs it",
            f"try {_rounded(width)}x{_rounded(height)}: set input_size",
        ) from error


def _rounded(side: int) -> int:
    return max(STRIDE, round(side / STRIDE) * STRIDE)
