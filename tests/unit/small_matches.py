"""Matches as an evaluation leaves them, made in no time: which pictures' objects were found."""

import io
from collections.abc import Callable, Collection

import numpy as np

from mmdet_jetson.promotion.accuracy import Matches

ALL, NONE = np.uint16(0x3FF), np.uint16(0)
Lost = Callable[[int, int], bool]
"""Whether the objects of a picture, of a class, are missed."""


def matches(
    pictures: int,
    lost: Lost | Collection[int] = (),
    *,
    classes: tuple[str, ...] = ("balloon",),
    objects: int = 2,
    wrong: int = 0,
) -> Matches:
    """Each picture has ``objects`` of each class; each is found at every IoU, or not at all.

    ``lost`` are pictures that nothing is found on. The first ``wrong`` pictures have the best
    detection of all, of nothing.
    """
    is_lost = lost if callable(lost) else lambda picture, _: picture in lost
    rows: list[tuple[int, int, float, np.uint16]] = []
    for label in range(len(classes)):
        rows += [(picture, label, 0.99, NONE) for picture in range(wrong)]
        for picture in range(pictures):
            if not is_lost(picture, label):
                rows += [(picture, label, 0.9, ALL)] * objects
    columns = [[row[i] for row in rows] for i in range(4)]
    return Matches(
        pictures=tuple(f"{each:05}.jpg" for each in range(pictures)),
        classes=classes,
        objects=np.full((pictures, len(classes)), objects, np.int32),
        picture=np.array(columns[0], np.int32),
        label=np.array(columns[1], np.int32),
        score=np.array(columns[2], np.float32),
        matched=np.array(columns[3], np.uint16),
        ignored=np.zeros(len(rows), np.uint16),
    )


def saved(found: Matches) -> bytes:
    """The bytes of ``matches.npz``."""
    stream = io.BytesIO()
    arrays = {name: np.array(getattr(found, name)) for name in Matches.__annotations__}
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()
