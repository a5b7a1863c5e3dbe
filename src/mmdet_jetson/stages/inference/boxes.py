"""Boxes inside a picture: the same rule for a checkpoint and for the engines made from it."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One object: ``box`` is x1, y1, x2, y2 in pixels of the picture, ``label`` counts from 0."""

    box: Tuple[float, float, float, float]
    score: float
    label: int


def clip_boxes(boxes: np.ndarray, size: Tuple[int, int]) -> Tuple[np.ndarray, np.ndarray]:
    """Cut boxes [n, 4] (x1, y1, x2, y2) off at the borders of a picture of ``size``.

    ``size`` is (width, height). A network sees the padding too and detects across it or in it;
    MMDetection lets such boxes reach out of the picture, MMDeploy's SDK and a device do not. AP
    differs by about 0.001 between the two, so both sides of a comparison have to clip.

    Returns:
        The clipped boxes, and whether each still covers anything: [n].
    """
    clipped = np.clip(boxes, 0, np.tile(np.array(size, boxes.dtype), 2))
    return clipped, np.all(clipped[:, 2:] > clipped[:, :2], axis=1)
