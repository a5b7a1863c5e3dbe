"""What the stage `report` is told."""

from dataclasses import dataclass
from typing import Mapping, Tuple

from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class ReportParameters(Parameters):
    """``gates`` are limits by the names of `contract.gates.GATES`."""

    name: str
    gates: Mapping[str, float]
    targets: Tuple[str, ...]
