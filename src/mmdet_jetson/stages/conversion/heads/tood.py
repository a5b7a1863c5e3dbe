"""TOOD's head, whose maps hold boxes and scores already: boxes in strides, scores from 0 to 1."""

from typing import List, Optional

import torch
from mmdet.models.dense_heads import TOODHead
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.heads import Boxes, Maps, base_dense
from mmdet_jetson.stages.conversion.heads.maps import flat, like

PREDICTS_LIKE = "TOODHead"
adapt = base_dense.adapt


def matches(head: nn.Module) -> bool:
    """Whether its prediction is that of ``TOODHead``."""
    return like(head, TOODHead)


def priors(head: nn.Module, shapes: List[torch.Size]) -> Tensor:
    """Give the stride of each box."""
    strides = head.prior_generator.strides
    levels = [
        torch.full((shape.numel() * head.num_base_priors, 1), float(stride[0]))
        for shape, stride in zip(shapes, strides)
    ]
    return torch.cat(levels)


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Bring boxes from strides to pixels."""
    class_maps, box_maps = maps
    return flat(box_maps, 4) * priors, flat(class_maps, head.cls_out_channels)


def border(head: nn.Module) -> Optional[float]:
    """Cut no box off."""
    return None
