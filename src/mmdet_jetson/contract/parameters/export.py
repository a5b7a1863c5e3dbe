"""What the stage `export` is told."""

from dataclasses import dataclass
from typing import Optional

from mmdet_jetson.contract.parameters.base import Parameters, Size

MOST_CANDIDATES = 3840
"""How many pairs of a box and a class a fused NMS can take; TensorRT's TopK has no more."""


@dataclass(frozen=True)
class FusedParameters:
    """What a fused graph is fed, and its NMS.

    ``input`` is "image", "letterboxed" or "tensor"; ``thresholds`` says whose the NMS takes, those
    of the "model" or of the "deploy" config.
    """

    input: str
    batch: int
    thresholds: str
    candidates: int
    rounds: int


@dataclass(frozen=True)
class ExportParameters(Parameters):
    """``fused`` is None for MMDeploy's own graph, which the docs call documented.

    ``backend`` is the one that the graph is for; ``deploy_config`` is a path inside the input
    ``config``.
    """

    backend: str
    deploy_config: str
    input_size: Size
    fused: Optional[FusedParameters]
