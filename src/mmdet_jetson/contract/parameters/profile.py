"""What the stage `profile` is told."""

from dataclasses import dataclass
from typing import Optional

from mmdet_jetson.contract.parameters.base import Parameters

LEAST_SAMPLES = 200
MOST_SAMPLES = 1_000_000
"""Some 60 MB of times."""
MOST_SECONDS = 24 * 3600


@dataclass(frozen=True)
class ProfileParameters(Parameters):
    """How often an engine is run before it is timed, and while it is.

    It is timed until there are ``samples`` and until ``seconds`` are over. ``power_mode`` names the
    mode that a Jetson should be in; None stands for its strongest.
    """

    samples: int
    warmup: int
    power_mode: Optional[str] = None
    seconds: float = 0
