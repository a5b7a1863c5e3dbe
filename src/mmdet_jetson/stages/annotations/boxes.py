"""The boxes of many pictures as arrays: to go through them one by one takes longer."""

from typing import Sequence

import numpy as np

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.annotations.records import Example


class Boxes:
    """All boxes of pictures, in their order.

    ``boxes`` [objects, 4] are x, y, width, height in pixels, ``pictures`` [objects] the indices of
    the pictures that they are in, ``sizes`` [pictures, 2] these pictures' widths and heights.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        listed = [item.extent.box for each in examples for item in each.annotations]
        self.boxes = np.array(listed, float).reshape(-1, 4)
        counts = [len(each.annotations) for each in examples]
        self.pictures = np.repeat(np.arange(len(counts)), counts)
        sizes = [(each.width, each.height) for each in examples]
        self.sizes = np.array(sizes, float).reshape(-1, 2)

    def sides(self, input_size: Size) -> np.ndarray:
        """Sides of squares as large as the boxes, in pixels of the network's input: [objects]."""
        scales = (np.array(input_size, float) / self.sizes).min(axis=1)
        sides: np.ndarray = np.sqrt(self.boxes[:, 2] * self.boxes[:, 3]) * scales[self.pictures]
        return sides

    def at_edge(self) -> np.ndarray:
        """Whether the boxes come within a pixel of an edge of their pictures: [objects]."""
        ends = self.boxes[:, :2] + self.boxes[:, 2:]
        outside = (self.boxes[:, :2] < 1) | (ends > self.sizes[self.pictures] - 1)
        found: np.ndarray = outside.any(axis=1)
        return found

    def of_pictures(self, values: np.ndarray, how: np.ufunc) -> np.ndarray:
        """Bring the values [objects] of each picture together, 0 where it has none: [pictures]."""
        starts = np.flatnonzero(np.diff(self.pictures, prepend=-1))
        brought = np.zeros(len(self.sizes))
        if len(starts):
            numbers = values.astype(float)  # NumPy would "or" booleans instead of adding them
            brought[self.pictures[starts]] = how.reduceat(numbers, starts)
        return brought
