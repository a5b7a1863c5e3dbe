"""From a normalised picture to boxes and scores: a detector without its post-processing.

Two kinds of head are known. Most of MMDetection's dense heads leave prediction to ``BaseDenseHead``
and differ in their box coder and priors; RTMDet's are such. YOLOX has a prediction of its own.
"""

from typing import Any, Callable, List, Sequence, Tuple

import torch
from mmdet.models.dense_heads import YOLOXHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor, nn

from mmdet_jetson.stages.errors import StageError

Maps = Sequence[Sequence[Tensor]]
Boxes = Tuple[Tensor, Tensor]
ADVICE = 'set graph = "documented" for the target in targets.toml, which takes MMDeploy\'s way'


class DecodedNetwork(nn.Module):  # type: ignore[misc]
    """A detector up to its boxes, for pictures of one size.

    Args:
        model: a detector of MMDetection, in evaluation mode.
        batch: how many pictures at a time.
        size: (width, height) of the network's input.

    Raises:
        StageError: the model has another head than those that are known.

    Attributes:
        example: a batch to trace with.
        boxes: how many boxes a picture has, ``n`` below.
        classes: how many scores a box has.
    """

    def __init__(self, model: nn.Module, batch: int, size: Tuple[int, int]) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.decode = _decoder(model)
        self.example = torch.zeros(batch, 3, size[1], size[0])
        with torch.no_grad():
            maps = self._maps(self.example)
        generator = model.bbox_head.prior_generator
        extra = {"with_stride": True} if isinstance(model.bbox_head, YOLOXHead) else {}
        shapes = [level.shape[2:] for level in maps[0]]
        priors = generator.grid_priors(shapes, device="cpu", **extra)
        self.register_buffer("priors", torch.cat(priors))
        scores = self.decode(maps, self.priors, size)[1]
        self.boxes, self.classes = scores.shape[1:]

    def forward(self, batch: Tensor) -> Boxes:
        """Turn float32 [batch, 3, height, width] into boxes and scores.

        Returns:
            Boxes [batch, n, 4] (x1, y1, x2, y2 in pixels of the input), scores [batch, n, classes].
        """
        return self.decode(self._maps(batch), self.priors, self.size)

    def _maps(self, batch: Tensor) -> Maps:
        maps: Maps = self.model.bbox_head(self.model.extract_feat(batch))
        return maps


def _decoder(model: Any) -> Callable[[Maps, Tensor, Tuple[int, int]], Boxes]:
    head = getattr(model, "bbox_head", None)
    if isinstance(model, SingleStageDetector) and isinstance(head, BaseDenseHead):
        if type(head).predict_by_feat is YOLOXHead.predict_by_feat:
            return _yolox
        if _predicts_as_base(head):
            return _DenseHead(head)
    kind = type(head).__name__ if head else "head of its own"
    raise StageError(
        f"a {type(model).__name__} with a {kind} cannot be fused: only heads that "
        "predict as MMDetection's BaseDenseHead or YOLOXHead do, without a score factor, are known",
        ADVICE,
    )


def _predicts_as_base(head: Any) -> bool:
    """Whether no part of ``BaseDenseHead``'s prediction is another, nor scores have a factor."""
    parts = ("predict_by_feat", "_predict_by_feat_single", "_bbox_post_process")
    own = [part for part in parts if getattr(type(head), part) is not getattr(BaseDenseHead, part)]
    factors = hasattr(head, "conv_centerness") or hasattr(head, "atss_centerness")
    return not own and not factors and hasattr(head, "bbox_coder")


class _DenseHead:
    """What ``BaseDenseHead`` does to the maps of scores and of boxes, for whole batches."""

    def __init__(self, head: Any) -> None:
        self.head = head

    def __call__(self, maps: Maps, priors: Tensor, size: Tuple[int, int]) -> Boxes:
        class_maps, box_maps = maps
        scores = _flat(class_maps, self.head.cls_out_channels)
        scores = scores.sigmoid() if self.head.use_sigmoid_cls else scores.softmax(-1)[..., :-1]
        deltas = _flat(box_maps, self.head.bbox_coder.encode_size)
        boxes = self.head.bbox_coder.decode(priors.expand(len(deltas), -1, -1), deltas)
        # MMDetection clips to the padded picture, which is as large as the input of an engine. Its
        # own clipping cannot be traced.
        return (_clip(boxes, size) if self.head.bbox_coder.clip_border else boxes), scores


def _clip(boxes: Tensor, size: Tuple[int, int]) -> Tensor:
    limits = boxes.new_tensor([*size, *size])
    return torch.min(torch.max(boxes, boxes.new_zeros(1)), limits)


def _yolox(maps: Maps, priors: Tensor, size: Tuple[int, int]) -> Boxes:
    """Decode YOLOX: centre and size around a grid point, objectness times the best class.

    A box has its best class only, so the scores of all others are -1.
    """
    class_maps, box_maps, object_maps = maps
    classes = _flat(class_maps, class_maps[0].shape[1]).sigmoid()
    deltas = _flat(box_maps, 4)
    points, strides = priors[:, :2], priors[:, 2:]
    centres = deltas[..., :2] * strides + points
    halves = deltas[..., 2:].exp() * strides / 2
    boxes = torch.cat([centres - halves, centres + halves], -1)
    best = classes.argmax(-1, keepdim=True)
    is_best = best == torch.arange(classes.shape[-1])
    scores = classes * _flat(object_maps, 1).sigmoid()
    return boxes, torch.where(is_best, scores, scores.new_tensor(-1.0))


def _flat(maps: Sequence[Tensor], width: int) -> Tensor:
    """Join levels [batch, priors * width, height, width] to [batch, n, width]."""
    batch = len(maps[0])
    levels: List[Tensor] = [level.permute(0, 2, 3, 1).reshape(batch, -1, width) for level in maps]
    return torch.cat(levels, 1)
