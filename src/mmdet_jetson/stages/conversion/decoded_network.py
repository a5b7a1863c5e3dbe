"""From a normalised picture to boxes and scores: a detector without its post-processing."""

import torch
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.fused_nms import Given
from mmdet_jetson.stages.conversion.heads import Boxes, Maps, find_head


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
        given: what NMS gets of it; ``border`` is what it is where the picture's own border counts.
    """

    def __init__(self, model: nn.Module, batch: int, size: Size) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.head = find_head(model)
        self.example = torch.zeros(batch, 3, size[1], size[0])
        with torch.no_grad():
            maps = self._maps(self.example)
        shapes = [level.shape[2:] for level in maps[0]]
        self.register_buffer("priors", self.head.priors(model.bbox_head, shapes))
        _, scores, *factors = self._decode(maps)
        border = self.head.border(model.bbox_head)
        boxes, classes = scores.shape[1:]
        self.given = Given(batch, boxes, classes, bool(factors), border)

    def forward(self, batch: Tensor) -> Boxes:
        """Turn float32 [batch, 3, height, width] into boxes, scores and, if any, their factors."""
        return self._decode(self._maps(batch))

    def _maps(self, batch: Tensor) -> Maps:
        maps: Maps = self.model.bbox_head(self.model.extract_feat(batch))
        return maps

    def _decode(self, maps: Maps) -> Boxes:
        return self.head.decode(self.model.bbox_head, maps, self.priors, self.size)
