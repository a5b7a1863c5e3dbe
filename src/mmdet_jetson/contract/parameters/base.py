"""What the parameters of all stages have in common."""

from dataclasses import dataclass
from typing import Tuple

Size = Tuple[int, int]
"""Width and height, in pixels."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of some stage."""
