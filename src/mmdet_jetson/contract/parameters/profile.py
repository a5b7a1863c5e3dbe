"""What the stage `profile` is told."""

from dataclasses import dataclass

from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class ProfileParameters(Parameters):
    """How often an engine is run before it is timed, and while it is."""

    repeats: int
    warmup: int
