"""Heads that predict a distribution for each side of a box: GFL's and, made of it, LD's."""

from typing import List

import torch
from mmdet.models.dense_heads import GFLHead
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.heads import Boxes, Maps, base_dense
from mmdet_jetson.stages.conversion.heads.maps import clip, flat, like, with_column

PREDICTS_LIKE = "GFLHead"
border, adapt = base_dense.border, base_dense.adapt


def matches(head: nn.Module) -> bool:
    """Whether its prediction is that of ``GFLHead``."""
    return like(head, GFLHead)


def priors(head: nn.Module, shapes: List[torch.Size]) -> Tensor:
    """Give the middle of each anchor with the stride of its level: x, y, stride."""
    levels = head.prior_generator.grid_priors(shapes, device="cpu")
    centres = [head.anchor_center(anchors) for anchors in levels]
    return with_column(centres, [stride[0] for stride in head.prior_generator.strides])


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Take the mean of each distribution for the distance of a side, in strides."""
    class_maps, box_maps = maps
    scores = flat(class_maps, head.cls_out_channels).sigmoid()
    bins = flat(box_maps, 4 * (head.reg_max + 1))
    batch, count = bins.shape[:2]
    shares = bins.reshape(batch, count, 4, -1).softmax(-1)
    # A product with a vector is what PyTorch 1.11 cannot write as ONNX.
    distances = (shares * head.integral.project).sum(-1)
    points = priors[:, :2].expand(batch, -1, -1)
    boxes = head.bbox_coder.decode(points, distances * priors[:, 2:])
    return (clip(boxes, size) if head.bbox_coder.clip_border else boxes), scores
