"""Heads that leave prediction to ``BaseDenseHead``, as most of MMDetection's dense heads do.

They differ in their box coder and priors; RTMDet's and RetinaNet's are such.
"""

from typing import List

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.fused_nms import NmsLimits
from mmdet_jetson.stages.conversion.heads import Boxes, Maps
from mmdet_jetson.stages.conversion.heads.maps import clip, flat

PREDICTS_LIKE = "BaseDenseHead without a score factor"
PARTS = ("predict_by_feat", "_predict_by_feat_single", "_bbox_post_process")


def matches(head: nn.Module) -> bool:
    """Whether no part of ``BaseDenseHead``'s prediction is another, nor scores have a factor."""
    return predicts_as_base(head) and not (
        hasattr(head, "conv_centerness") or hasattr(head, "atss_centerness")
    )


def predicts_as_base(head: nn.Module) -> bool:
    """Whether no part of ``BaseDenseHead``'s prediction is another."""
    own = [part for part in PARTS if getattr(type(head), part, None) is not _base(part)]
    return isinstance(head, BaseDenseHead) and not own and hasattr(head, "bbox_coder")


def _base(part: str) -> object:
    return getattr(BaseDenseHead, part)


def priors(head: nn.Module, shapes: List[torch.Size]) -> Tensor:
    """Give the points or anchors that the box coder starts from."""
    return torch.cat(head.prior_generator.grid_priors(shapes, device="cpu"))


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Do what ``BaseDenseHead`` does to the maps of scores and of boxes, for whole batches."""
    class_maps, box_maps = maps
    scores = flat(class_maps, head.cls_out_channels)
    scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[..., :-1]
    deltas = flat(box_maps, head.bbox_coder.encode_size)
    boxes = head.bbox_coder.decode(priors.expand(len(deltas), -1, -1), deltas)
    # MMDetection clips to the padded picture, which is as large as the input of an engine. Its own
    # clipping cannot be traced.
    return (clip(boxes, size) if head.bbox_coder.clip_border else boxes), scores


def adapt(limits: NmsLimits) -> NmsLimits:
    """Keep them: they are written for ``BaseDenseHead``."""
    return limits
