"""From a picture to the inputs of a graph, whichever part of the preprocessing the graph does."""

from typing import Any, Mapping, Tuple

import numpy as np

from mmdet_jetson.stages.inference.preprocessing import Preprocessing


def feed(
    graph: Mapping[str, Any], preprocessing: Preprocessing, picture: np.ndarray
) -> Tuple[np.ndarray, ...]:
    """Give the inputs of a graph, in order, for a BGR uint8 [height, width, 3] picture.

    ``graph`` is the content of graph.json. A batch of several is filled with the same picture.
    """
    mode, batch = graph.get("input"), graph.get("batch", 1)
    if mode == "image":
        return (picture[None],)
    height, width = picture.shape[:2]
    pixels = preprocessing.resize(picture)
    if mode == "letterboxed":
        values = np.repeat(pixels[None], batch, axis=0)
    else:
        values = preprocessing.format(preprocessing.normalize(pixels))
        values = np.repeat(values, batch, axis=0)
    if mode is None:
        return (values,)
    return values, np.repeat(mapping(preprocessing, (width, height))[None], batch, axis=0)


def mapping(preprocessing: Preprocessing, size: Tuple[int, int]) -> np.ndarray:
    """Say how boxes get back into a picture of ``size`` (width, height): float32 [4].

    It is width and height of the picture, each divided by that of the resized one, and again width
    and height.
    """
    real = np.array(size, np.float32)
    resized = np.array(preprocessing.resized_size(*size), np.float32)
    return np.concatenate([real / resized, real])
