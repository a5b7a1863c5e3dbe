"""How detectors' heads predict: a module of this folder for each kind of head.

To add one, write a module with all that `Head` asks for and name it in `HEADS`.
"""

from importlib import import_module
from typing import List, Optional, Protocol, Sequence, Tuple, cast

import torch
from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from torch import Tensor, nn

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.conversion.fused_nms import NmsLimits
from mmdet_jetson.stages.errors import StageError

# A model belongs to the first that knows its head.
HEADS = ("yolox", "yolov3", "paa", "distribution", "tood", "fovea", "base_dense")
NONE = "choose a one-stage detector with a dense head: docs/detectors.md has a table"
ADVICE = 'set graph = "documented" for the target in targets.toml, to export it with MMDeploy alone'

Maps = Sequence[Sequence[Tensor]]
"""What a head makes of features: for each kind of output its levels [batch, channels, y, x]."""
Boxes = Tuple[Tensor, ...]
"""Boxes [batch, n, 4] (x1, y1, x2, y2 in pixels of the input), scores [batch, n, classes].

Where scores have a factor, it comes third: [batch, n, 1]. A score must pass without it.
"""


class Head(Protocol):
    """What a module says about its kind of head; ``head`` is a model's ``bbox_head``."""

    PREDICTS_LIKE: str
    """The prediction in MMDetection that it repeats, as a sentence names it."""

    def matches(self, head: nn.Module) -> bool:
        """Whether this head predicts so."""

    def priors(self, head: nn.Module, shapes: List[torch.Size]) -> Tensor:
        """Give what boxes are relative to, a row for each, for levels of these (height, width)."""

    def decode(self, head: nn.Module, maps: Maps, priors: Tensor, size: Size) -> Boxes:
        """Turn maps into boxes and scores, in operators that PyTorch can trace.

        ``size`` is (width, height) of the network's input.
        """

    def border(self, head: nn.Module) -> Optional[float]:
        """How many pixels of the input inside the border of a picture boxes are cut off.

        None where they are not before NMS.
        """

    def adapt(self, head: nn.Module, limits: NmsLimits) -> NmsLimits:
        """Change what NMS does otherwise for such a head."""


def find_head(model: nn.Module) -> Head:
    """Give the module for a detector's head.

    Raises:
        StageError: it is not a one-stage detector, or none knows its head.
    """
    head = getattr(model, "bbox_head", None)
    known = [load(name) for name in HEADS]
    if isinstance(model, SingleStageDetector):
        for each in known:
            if each.matches(head):
                return each
    name = type(model).__name__
    if isinstance(model, TwoStageDetector):
        raise StageError(
            f"{name} is a two-stage detector, and engines are made of one-stage ones", NONE
        )
    what = f"{name} with {type(head).__name__}" if head else name
    *most, last = (each.PREDICTS_LIKE for each in known)
    kinds = f"{', '.join(most)} or {last}"
    raise StageError(
        f"{what} cannot be fused: its head must predict like MMDetection's {kinds}",
        ADVICE,
    )


def load(name: str) -> Head:
    """Give the module of a name in `HEADS`."""
    return cast("Head", import_module(f"{__name__}.{name}"))
