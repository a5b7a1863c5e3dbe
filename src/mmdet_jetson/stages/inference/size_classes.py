"""The sizes of a dataset's pictures that stand for all: where an engine fails, it fails at one."""

from collections import Counter
from typing import Dict, Sequence, Tuple

from mmdet_jetson.contract.parameters.base import Size

Classes = Tuple[Tuple[str, Size], ...]
"""What sizes are called, and each as (width, height), in pixels."""


def size_classes(sizes: Sequence[Size]) -> Classes:
    """Choose the smallest, the largest, the widest, the tallest and the most common size.

    By area and by aspect ratio. One that is several of them is named by all.
    """
    if not sizes:
        return ()
    counted = Counter(sizes)
    in_order = sorted(counted)
    chosen = {
        "smallest": min(in_order, key=_area),
        "largest": max(in_order, key=_area),
        "widest": max(in_order, key=_aspect),
        "tallest": min(in_order, key=_aspect),
        "most common": max(in_order, key=lambda size: counted[size]),
    }
    names: Dict[Size, str] = {}
    for name, size in chosen.items():
        names[size] = f"{names[size]}, {name}" if size in names else name
    return tuple((name, size) for size, name in names.items())


def _area(size: Size) -> int:
    return size[0] * size[1]


def _aspect(size: Size) -> float:
    return size[0] / size[1]
