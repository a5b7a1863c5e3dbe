"""What the stage `prove` is told."""

from dataclasses import dataclass

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class ProveParameters(Parameters):
    """``target`` is the one of the engine that is compared with PyTorch."""

    target: str
    tolerances: Tolerances
