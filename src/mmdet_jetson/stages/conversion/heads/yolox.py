"""YOLOX's head: the centre and the size of a box around a grid point, and an objectness."""

from dataclasses import replace
from typing import List, Optional

import torch
from mmdet.models.dense_heads import YOLOXHead
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.fused_nms import NmsLimits
from mmdet_jetson.stages.conversion.heads import Boxes, Maps
from mmdet_jetson.stages.conversion.heads.maps import flat, like

PREDICTS_LIKE = "YOLOXHead"


def matches(head: nn.Module) -> bool:
    """Whether its prediction is that of ``YOLOXHead``."""
    return like(head, YOLOXHead)


def priors(head: nn.Module, shapes: List[torch.Size]) -> Tensor:
    """Give grid points with the strides of their level: x, y, stride in x, stride in y."""
    return torch.cat(head.prior_generator.grid_priors(shapes, device="cpu", with_stride=True))


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Decode boxes; a score is the objectness times that of the class.

    A box has its best class only, so the scores of all others are -1.
    """
    class_maps, box_maps, object_maps = maps
    classes = flat(class_maps, class_maps[0].shape[1]).sigmoid()
    deltas = flat(box_maps, 4)
    points, strides = priors[:, :2], priors[:, 2:]
    centres = deltas[..., :2] * strides + points
    halves = deltas[..., 2:].exp() * strides / 2
    boxes = torch.cat([centres - halves, centres + halves], -1)
    best = classes.argmax(-1, keepdim=True)
    is_best = best == torch.arange(classes.shape[-1])
    scores = classes * flat(object_maps, 1).sigmoid()
    return boxes, torch.where(is_best, scores, scores.new_tensor(-1.0))


def border(head: nn.Module) -> Optional[float]:
    """Cut no box off."""
    return None


def adapt(head: nn.Module, limits: NmsLimits) -> NmsLimits:
    """Let a score pass that equals the threshold, and boxes of any size."""
    return replace(limits, inclusive=True, min_size=None)
