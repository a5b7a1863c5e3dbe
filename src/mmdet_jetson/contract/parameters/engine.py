"""What the stage `engine` is told."""

from dataclasses import dataclass
from typing import Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class EngineParameters(Parameters):
    """``calibration_pictures`` is a number for int8 only; GPUs are compute capabilities, as 87."""

    target: str
    backend: str
    precision: str
    compute_capabilities: Tuple[int, ...]
    calibration_pictures: Optional[int]
