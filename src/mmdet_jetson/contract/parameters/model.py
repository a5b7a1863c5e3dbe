"""What the stage `model` is told."""

from dataclasses import dataclass
from typing import Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters, Size

PACKAGE = "::"
"""Stands between a package and a config that it brings, as in ``mmdet::rtmdet/...``."""
CLASSES = "classes.json"
"""What a checkpoint that was taken says of its classes: a list of names, in their order."""


@dataclass(frozen=True)
class TakenModelParameters(Parameters):
    """``config`` is a path inside the input ``config``, or one of MMDetection's own (`PACKAGE`).

    It is None where the checkpoint says its config itself. ``classes`` are empty where the
    checkpoint's own are to be taken; others have to be those.
    """

    config: Optional[str]
    classes: Tuple[str, ...]
    input_size: Size
