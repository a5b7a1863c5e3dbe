"""What the tests on a GPU share."""

import subprocess
from collections.abc import Callable

import numpy as np

Program = Callable[..., "subprocess.CompletedProcess[str]"]


def noise(width: int, height: int) -> np.ndarray:
    """A picture: uint8 [height, width, 3]."""
    return np.random.default_rng(width + height).integers(0, 256, (height, width, 3), np.uint8)
