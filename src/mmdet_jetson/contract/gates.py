"""The gates: a line each, and a module of ``stages/gates`` that judges."""

from dataclasses import dataclass
from typing import Mapping

PROOF = "proof"

# A gate's name in [gates], and the module that judges it. A limit is a number from 0 to 1, but for
# the proof's, which are `Tolerances`.
GATES: Mapping[str, str] = {
    PROOF: "proof",
    "min_AP50": "min_ap50",
    "max_AP_difference": "max_ap_difference",
}


@dataclass(frozen=True)
class Tolerances:
    """How far an engine's detections may be from PyTorch's; all four are numbers from 0 to 1.

    Every detection of the two with a score from ``from_score`` on, and the best on a picture where
    none has such a score, needs a partner of the same class in the other. Its corners are at most
    ``box`` away, as a share of the picture's longer side, and its score at most ``score``. The
    share ``alone`` of them may have none.
    """

    from_score: float
    box: float
    score: float
    alone: float


DEFAULT_TOLERANCES: Mapping[str, Tolerances] = {
    "fp32": Tolerances(from_score=0.05, box=0.0002, score=0.001, alone=0.001),
    "fp16": Tolerances(from_score=0.1, box=0.005, score=0.01, alone=0.01),
    "bf16": Tolerances(from_score=0.3, box=0.01, score=0.02, alone=0.05),
    "int8": Tolerances(from_score=0.3, box=0.02, score=0.05, alone=0.2),
}
"""By the precision of an engine; docs/conversion.md says what they were measured on."""
