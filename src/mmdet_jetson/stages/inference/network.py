"""What an opened engine is to the rest: a function from arrays to arrays."""

from typing import Callable, Tuple

import numpy as np

Arrays = Tuple[np.ndarray, ...]
# Called with the graph's inputs in order, it gives the graph's outputs, first of them
# dets float32 [batch, n, 5] (x1, y1, x2, y2, score) and labels [batch, n]. One on a GPU has
# `milliseconds`, what the last call took there.
Network = Callable[..., Arrays]
