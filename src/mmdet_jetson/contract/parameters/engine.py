"""What the stage `engine` is told."""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class EngineParameters(Parameters):
    """``calibration_pictures`` is a number for int8 only; GPUs are compute capabilities, as 87.

    ``needs`` is what the device must report where the engine is built on it: versions by the names
    of `stages.inference.device.reported`, each as far as it goes.
    """

    target: str
    backend: str
    precision: str
    compute_capabilities: Tuple[int, ...]
    calibration_pictures: Optional[int]
    needs: Mapping[str, str] = field(default_factory=dict)
