"""Heads that leave prediction to ``BaseDenseHead``, as most of MMDetection's dense heads do.

They differ in their box coder and priors, and in whether scores have a factor: RTMDet, RetinaNet,
SSD and VFNet without one; FCOS, ATSS, DDOD and AutoAssign with one.
"""

from typing import List, Optional

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.fused_nms import NmsLimits
from mmdet_jetson.stages.conversion.heads import Boxes, Maps
from mmdet_jetson.stages.conversion.heads.maps import clip, flat, like

PREDICTS_LIKE = "BaseDenseHead"


def matches(head: nn.Module) -> bool:
    """Whether no part of ``BaseDenseHead``'s prediction is another."""
    return like(head, BaseDenseHead) and hasattr(head, "bbox_coder")


def priors(head: nn.Module, shapes: List[torch.Size]) -> Tensor:
    """Give the points or anchors that the box coder starts from."""
    return torch.cat(head.prior_generator.grid_priors(shapes, device="cpu"))


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Do what ``BaseDenseHead`` does to the maps of scores and of boxes, for whole batches."""
    class_maps, box_maps, *factor_maps = maps
    scores = flat(class_maps, head.cls_out_channels)
    scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[..., :-1]
    deltas = flat(box_maps, head.bbox_coder.encode_size)
    boxes = head.bbox_coder.decode(priors.expand(len(deltas), -1, -1), deltas)
    # MMDetection clips to what its pipeline has padded, and that is as large as an engine's input.
    # Its own clipping cannot be traced.
    boxes = clip(boxes, size) if head.bbox_coder.clip_border else boxes
    return (boxes, scores, *(flat(each, 1).sigmoid() for each in factor_maps))


def border(head: nn.Module) -> Optional[float]:
    """Cut boxes off at the border itself, unless the head was told not to."""
    return 0.0 if head.bbox_coder.clip_border else None


def adapt(head: nn.Module, limits: NmsLimits) -> NmsLimits:
    """Keep them: they are written for ``BaseDenseHead``."""
    return limits
