"""YOLOv3's head: the centre and the size of a box beside an anchor's, and an objectness."""

from typing import List, Optional

import torch
from mmdet.models.dense_heads import YOLOV3Head
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.heads import Boxes, Maps, base_dense
from mmdet_jetson.stages.conversion.heads.maps import flat, like, with_column

PREDICTS_LIKE = "YOLOV3Head"
adapt = base_dense.adapt


def matches(head: nn.Module) -> bool:
    """Whether its prediction is that of ``YOLOV3Head``."""
    return like(head, YOLOV3Head)


def priors(head: nn.Module, shapes: List[torch.Size]) -> Tensor:
    """Give anchors with the stride of their level: x1, y1, x2, y2, stride."""
    levels = head.prior_generator.grid_priors(shapes, device="cpu")
    return with_column(levels, head.featmap_strides)


def decode(head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
    """Decode boxes; the objectness is the factor of scores.

    A box whose objectness is below the ``conf_thr`` of the head's ``test_cfg`` has no score: -1.
    """
    values = flat(maps[0], head.num_attrib)
    encoded = torch.cat([values[..., :2].sigmoid(), values[..., 2:4]], -1)
    boxes = head.bbox_coder.decode(priors[:, :4], encoded, priors[:, 4:])
    objectness, scores = values[..., 4:5].sigmoid(), values[..., 5:].sigmoid()
    least = head.test_cfg.get("conf_thr", -1)
    if least > 0:
        scores = torch.where(objectness >= least, scores, scores.new_tensor(-1.0))
    return boxes, scores, objectness


def border(head: nn.Module) -> Optional[float]:
    """Cut no box off."""
    return None
