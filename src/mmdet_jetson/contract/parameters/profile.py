"""What the stage `profile` is told."""

from dataclasses import dataclass
from typing import Optional

from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class ProfileParameters(Parameters):
    """How often an engine is run before it is timed, and while it is.

    ``power_mode`` names the mode that a Jetson should be in; None stands for its strongest.
    """

    repeats: int
    warmup: int
    power_mode: Optional[str] = None
