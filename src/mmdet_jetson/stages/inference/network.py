"""What an opened engine is to the rest: a function from arrays to arrays."""

from typing import Callable, Sequence, Tuple

import numpy as np

from mmdet_jetson.stages.errors import StageError

Arrays = Tuple[np.ndarray, ...]
# Called with the graph's inputs in order, it gives the graph's outputs, first of them
# dets float32 [batch, n, 5] (x1, y1, x2, y2, score) and labels [batch, n]. One on a GPU has
# `milliseconds`, what the last call took there.
Network = Callable[..., Arrays]


def in_order(named: Sequence[str], there: Sequence[str], file: str) -> Tuple[str, ...]:
    """Give the names of an engine's inputs, or of its outputs, in the order of its graph.json.

    ``named`` are those in graph.json, and none where it is of a graph that names none; ``there``
    are the engine's own, in an order that no builder promises.

    Raises:
        StageError: they are not the same ones.
    """
    if named and set(named) != set(there):
        raise StageError(
            f"{file} has the tensors {', '.join(there)}, and its graph.json names "
            f"{', '.join(named)}",
            "build the engine again from the export that graph.json is of",
        )
    return tuple(named or there)
