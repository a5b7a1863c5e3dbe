"""Matches of a few pictures, as an evaluation keeps them."""

import io

import numpy as np

from mmdet_jetson.contract.matches import IOU_THRESHOLDS

ALL = 2 ** len(IOU_THRESHOLDS) - 1


def matches_of(*found: bool) -> bytes:
    """``matches.npz`` of pictures with one object each, which was found well or not at all."""
    hits = [index for index, each in enumerate(found) if each]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        pictures=np.array([f"{index}.jpg" for index in range(len(found))]),
        classes=np.array(["ellipse"]),
        objects=np.ones((len(found), 1), np.int32),
        picture=np.array(hits, np.int32),
        label=np.zeros(len(hits), np.int32),
        score=np.full(len(hits), 0.9, np.float32),
        matched=np.full(len(hits), ALL, np.uint16),
        ignored=np.zeros(len(hits), np.uint16),
    )
    return buffer.getvalue()
