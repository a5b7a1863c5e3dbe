"""FoveaBox's head: the logarithms of the distances of the sides, in lengths of a level's own."""

from typing import List, Optional

import torch
from mmdet.models.dense_heads import FoveaHead
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.heads import Boxes, Maps, base_dense
from mmdet_jetson.stages.conversion.heads.maps import clip, flat, like, with_column

PREDICTS_LIKE = "FoveaHead"
adapt = base_dense.adapt


def matches(head: nn.Module) -> bool:
    """Whether its prediction is that of ``FoveaHead``."""
    return like(head, FoveaHead)


def priors(head: nn.Module, shapes: List[torch.Size]) -> Tensor:
    """Give grid points with the length of their level: x, y, length."""
    levels = head.prior_generator.grid_priors(shapes, device="cpu")
    return with_column(levels, head.base_edge_list)


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Go from each point to the four sides; boxes end at the last pixel's middle."""
    class_maps, box_maps = maps
    scores = flat(class_maps, head.cls_out_channels).sigmoid()
    distances = flat(box_maps, 4).exp() * priors[:, 2:]
    points = priors[:, :2]
    boxes = torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)
    return clip(boxes, (size[0] - 1, size[1] - 1)), scores


def border(head: nn.Module) -> Optional[float]:
    """Cut boxes off one pixel inside the border."""
    return 1.0
