"""What the stage `report` is told."""

from dataclasses import dataclass
from typing import Mapping, Tuple

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.parameters.base import Parameters


@dataclass(frozen=True)
class ReportParameters(Parameters):
    """``gates`` are limits by the names of `contract.gates.GATES`.

    ``proofs`` are the targets whose engine has to be proven, each with its tolerances.
    """

    name: str
    gates: Mapping[str, float]
    proofs: Mapping[str, Tolerances]
    targets: Tuple[str, ...]
