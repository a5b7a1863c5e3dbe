"""From a picture to the inputs of a graph, whichever part of the preprocessing the graph does."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from mmdet_jetson.stages.inference.graph import IMAGE, LETTERBOXED
from mmdet_jetson.stages.inference.network import Arrays
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, Size


@dataclass(frozen=True)
class Feeding:
    """The steps from a BGR uint8 [height, width, 3] picture to a graph's inputs.

    Calling it takes them all; each is a method, so that each can be timed. ``mode`` and ``batch``
    are `Graph.input` and `Graph.batch`; a batch of several is filled with the same picture.
    """

    preprocessing: Preprocessing
    mode: Optional[str] = None
    batch: int = 1

    def __call__(self, picture: np.ndarray) -> Arrays:
        """Give the inputs of the graph, in order."""
        height, width = picture.shape[:2]
        values = self.format(self.normalize(self.resize(picture)))
        return self.inputs(values, (width, height))

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Scale and pad to the network's size, unless the graph does: uint8 [height, width, 3].

        What is padded after normalising is not padded here for a graph that takes a tensor.
        """
        if self.mode == IMAGE:
            return picture
        later = self.preprocessing.pads_normalized and not self._is_picture
        return self.preprocessing.scale(picture) if later else self.preprocessing.resize(picture)

    def normalize(self, picture: np.ndarray) -> np.ndarray:
        """Subtract the mean and divide by the deviation, unless the graph does."""
        return picture if self._is_picture else self.preprocessing.normalize(picture)

    def format(self, picture: np.ndarray) -> np.ndarray:
        """Lay out as the graph reads it, as often as it takes pictures at a time.

        Returns:
            uint8 [batch, height, width, 3] or float32 [batch, 3, height, width].
        """
        one = picture[None] if self._is_picture else self.preprocessing.format(picture)
        return one if self.batch == 1 else np.repeat(one, self.batch, axis=0)

    def inputs(self, values: np.ndarray, size: Size) -> Arrays:
        """Add what a fused graph is told when it does not scale the picture itself.

        ``size`` (width, height) is what the picture had before all steps.
        """
        if self.mode in (None, IMAGE):
            return (values,)
        row = mapping(self.preprocessing, size)[None]
        return values, np.repeat(row, self.batch, axis=0)

    @property
    def _is_picture(self) -> bool:
        return self.mode in (IMAGE, LETTERBOXED)


def mapping(preprocessing: Preprocessing, size: Size) -> np.ndarray:
    """Say how boxes get back into a picture of ``size`` (width, height): float32 [4].

    It is width and height of the picture, each divided by that of the resized one, and again width
    and height.
    """
    real = np.array(size, np.float32)
    resized = np.array(preprocessing.resized_size(*size), np.float32)
    return np.concatenate([real / resized, real])
