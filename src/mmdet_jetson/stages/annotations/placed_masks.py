"""Masks of pixels that cover a part of a picture, as run-length masks of the whole picture."""

from typing import Mapping, Sequence, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from mmdet_jetson.stages.annotations.findings import Defect

_HINT = "export the mask again, or as polygons"
_MOST_PIXELS = 2**28
"""More than any picture that Pillow opens without a warning has."""


def whole_mask(
    part: np.ndarray, corner: Tuple[int, int], size: Tuple[int, int]
) -> Mapping[str, object]:
    """A mask [height, width] whose top left pixel is ``corner`` (x, y) of a picture of that size.

    Raises:
        Defect: it does not lie inside the picture, or the size is none.
    """
    (left, top), (width, height) = corner, size
    down, across = part.shape
    check_size(size)
    if left < 0 or top < 0 or left + across > width or top + down > height:
        raise Defect(
            f"its mask of {across} × {down} pixels at {left}, {top} reaches past the picture, "
            f"which is {width} × {height} pixels",
            _HINT,
        )
    whole = np.zeros((height, width), np.uint8, order="F")
    whole[top : top + down, left : left + across] = part != 0
    encoded = coco_mask.encode(whole)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def check_size(size: Tuple[int, int]) -> None:
    """Check that a picture of that size can be.

    Raises:
        Defect: it cannot.
    """
    width, height = size
    if width < 1 or height < 1 or width * height > _MOST_PIXELS:
        raise Defect(f"its mask belongs to a picture of {width} × {height} pixels", _HINT)


def from_runs(runs: Sequence[int], size: Tuple[int, int]) -> np.ndarray:
    """The mask [height, width] of runs along its rows, the first of which is outside.

    Raises:
        Defect: they do not fit the size.
    """
    width, height = size
    check_size(size)
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        raise Defect(f"the run lengths of its mask do not make {width} × {height} pixels", _HINT)
    values = np.arange(len(runs), dtype=np.int64) % 2
    mask: np.ndarray = np.repeat(values.astype(np.uint8), runs).reshape(height, width)
    return mask
