"""Which input sizes a network can take: tried, since it depends on how its maps are joined."""

import traceback
from contextlib import suppress

import torch
from mmdet.models.detectors import SingleStageDetector
from torch import nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.errors import StageError, reason_of

# Where maps of several levels are joined, as in RTMDet and YOLOX, the coarsest has one cell for
# 32 x 32 pixels. Others take any size, such as the 300 pixels of SSD.
STRIDE = 32


def check_size(network: nn.Module, size: Size) -> None:
    """Show a detector in evaluation mode an empty picture of ``size`` (width, height).

    Raises:
        StageError: it cannot take that.
    """
    width, height = size
    try:
        with torch.no_grad():
            maps = network.extract_feat(torch.zeros(1, 3, height, width))
            if isinstance(network, SingleStageDetector):
                # A transformer's head asks for more than maps; another place refuses it.
                with suppress(TypeError):
                    network.bbox_head(maps)
    except RuntimeError as error:
        if width % STRIDE or height % STRIDE or min(size) < STRIDE:
            raise StageError(
                f"the input size {width}x{height} is not a multiple of {STRIDE} in both directions",
                f"try {_rounded(width)}x{_rounded(height)}: set input_size",
            ) from error
        traceback.print_exc()
        raise StageError(
            f"{type(network).__name__} cannot take an input of {width}x{height}: "
            f"{reason_of(error)}",
            "set a larger input_size, or compare the model section of the training config with "
            "MMDetection's own",
        ) from error


def _rounded(side: int) -> int:
    return max(STRIDE, round(side / STRIDE) * STRIDE)
