"""``proof.json``: how far the detections of what was deployed are from PyTorch's."""

from dataclasses import dataclass, field
from typing import List, Mapping, Optional, Tuple

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.stages.proving.deviation import Deviation

PYTORCH, ENGINE = "pytorch", "engine"
"""The model that the others are held against, and the one that is proven."""


@dataclass(frozen=True)
class ComparedModel:
    """COCO's figures of a model, and its deviation from PyTorch: in all, and by file name.

    PyTorch itself deviates from nothing.
    """

    figures: Mapping[str, Optional[float]]
    deviation: Optional[Deviation] = None
    by_picture: Mapping[str, Deviation] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkComparison:
    """How many nodes the networks in the two graphs have, and what differs between them."""

    nodes: int
    differences: Tuple[str, ...]


@dataclass(frozen=True)
class Proof:
    """The proof of a target's engine.

    ``evidence`` tells how near to its target the engine was run. ``network`` is None where there is
    no documented graph to compare with.
    """

    target: str
    evidence: str
    tolerances: Tolerances
    pictures: int
    models: Mapping[str, ComparedModel]
    network: Optional[NetworkComparison]

    def in_order(self) -> List[Tuple[str, ComparedModel]]:
        """The models with their names, PyTorch's first."""
        return sorted(self.models.items(), key=lambda named: named[0] != PYTORCH)
