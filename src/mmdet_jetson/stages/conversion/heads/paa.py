"""PAA's head: a score is the root of class times overlap, and boxes are voted about."""

from dataclasses import replace

from mmdet.models.dense_heads import PAAHead
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.fused_nms import NmsLimits
from mmdet_jetson.stages.conversion.heads import Boxes, Maps, base_dense
from mmdet_jetson.stages.conversion.heads.maps import like

PREDICTS_LIKE = "PAAHead"
priors, border = base_dense.priors, base_dense.border


def matches(head: nn.Module) -> bool:
    """Whether its prediction is that of ``PAAHead``."""
    return like(head, PAAHead)


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Decode boxes as ``BaseDenseHead`` does; a score has its factor before the threshold here."""
    boxes, scores, overlaps = base_dense.decode(head, maps, priors, size)
    return boxes, (scores * overlaps).sqrt()


def adapt(head: nn.Module, limits: NmsLimits) -> NmsLimits:
    """Let boxes of any size pass, and vote where the head asks for it (``with_score_voting``)."""
    return replace(limits, min_size=None, votes=head.with_score_voting)
