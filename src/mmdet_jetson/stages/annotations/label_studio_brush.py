"""Label Studio's brush: run lengths of the four channels of a picture, packed into bits.

The stream is 32 bits of how many values follow, 5 of a value's width less 1, 4 times 4 of the
widths of run lengths less 1; then for each run a bit that says whether it repeats one value, 2
that choose the width of its length, the length less 1, and the value or values. A pixel is
labelled where its fourth channel, the opacity, is above 0.
"""

from typing import List, Sequence, Tuple

import numpy as np

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.placed_masks import check_size

_HINT = "export the annotations again, or draw polygons"
_CHANNELS = 4


class _Bits:
    def __init__(self, data: Sequence[int]) -> None:
        self._text = "".join(format(byte, "08b") for byte in data)
        self._at = 0

    def read(self, count: int) -> int:
        text = self._text[self._at : self._at + count]
        if len(text) != count:
            raise Defect("the run lengths of its brush stop early", _HINT)
        self._at += count
        return int(text, 2)


def pixels(rle: object, size: Tuple[int, int]) -> np.ndarray:
    """The mask [height, width] of a brush of a picture of that size (width, height).

    Raises:
        Defect: the run lengths are broken, or are a picture's of another size.
    """
    check_size(size)
    width, height = size
    bits = _Bits(_bytes(rle))
    total = bits.read(32)
    if total != width * height * _CHANNELS:
        raise Defect(
            f"its brush has {total} values, a picture of {width} × {height} pixels "
            f"{width * height * _CHANNELS}",
            _HINT,
        )
    values = np.zeros(total, np.uint8)
    value_width = bits.read(5) + 1
    length_widths = [bits.read(4) + 1 for _ in range(4)]
    if value_width > 8:
        raise Defect("the values of its brush have more than 8 bits", _HINT)
    at = 0
    while at < total:
        repeats = bits.read(1)
        end = at + bits.read(length_widths[bits.read(2)]) + 1
        if end > total:
            raise Defect("the run lengths of its brush reach past the picture", _HINT)
        if repeats:
            values[at:end] = bits.read(value_width)
        else:
            values[at:end] = [bits.read(value_width) for _ in range(at, end)]
        at = end
    mask: np.ndarray = values.reshape(height, width, _CHANNELS)[:, :, _CHANNELS - 1] > 0
    return mask


def _bytes(rle: object) -> List[int]:
    data = (
        [item for item in rle if type(item) is int and 0 <= item < 256]
        if isinstance(rle, list)
        else []
    )
    if not isinstance(rle, list) or len(data) != len(rle):
        raise Defect("its brush has no list of bytes", _HINT)
    return data
