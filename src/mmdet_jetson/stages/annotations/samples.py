"""Sample pictures of a dataset with their boxes: a few of each class, and the odd ones."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.annotations.boxes import Boxes
from mmdet_jetson.stages.annotations.examples import WORKERS
from mmdet_jetson.stages.annotations.glance_file import MOST_BOXES, Box, Sample
from mmdet_jetson.stages.annotations.pictures import upright
from mmdet_jetson.stages.annotations.records import Example

MOST_SAMPLES = 24
_OF_CLASSES = 18
_OF_ONE_CLASS = 6
_SIDE = 360
_BYTES = 30_000  # of a thumbnail of that side
_QUALITIES = (80, 60, 40, 20)

Placed = Tuple[str, Example]


def choose_samples(
    placed: Sequence[Placed], boxes: Boxes, classes: Sequence[str], input_size: Size
) -> Tuple[Sample, ...]:
    """Some pictures of each class in turn, then those with the most, the smallest, and so on.

    ``boxes`` are those of the pictures, in their order.
    """
    order = sorted(range(len(placed)), key=lambda index: _rank(placed[index]))
    odd = _odd(placed, boxes, np.array(order), input_size)
    placed = [placed[index] for index in order]
    whys: Dict[Tuple[str, str], List[str]] = {}
    chosen: Dict[Tuple[str, str], Placed] = {}
    for why, found in [*_of_classes(placed, classes), *odd]:
        key = found[0], found[1].name
        if key in chosen or len(chosen) < MOST_SAMPLES:
            chosen[key] = found
            whys.setdefault(key, []).append(why)
    with ThreadPoolExecutor(WORKERS) as pool:
        made = pool.map(lambda key: _sample(*chosen[key], "; ".join(whys[key]), classes), chosen)
        return tuple(made)


def _rank(placed: Placed) -> Tuple[str, str]:
    """An order that is by chance and always the same."""
    split, example = placed
    return hashlib.sha256(f"{split}/{example.name}".encode()).hexdigest(), example.name


def _of_classes(placed: Sequence[Placed], classes: Sequence[str]) -> List[Tuple[str, Placed]]:
    """The same number of pictures of each class, from both splits; of many classes the extremes."""
    having: Dict[str, List[Placed]] = {name: [] for name in classes}
    for each in placed:
        for name in {item.label for item in each[1].annotations}:
            having[name].append(each)
    there = [name for name in classes if having[name]]
    if len(there) > _OF_CLASSES:
        ranked = sorted(there, key=lambda name: len(having[name]))
        half = _OF_CLASSES // 2
        there = [name for name in there if name in {*ranked[:half], *ranked[-half:]}]
    share = min(_OF_ONE_CLASS, max(1, _OF_CLASSES // max(1, len(there))))
    return [(name, each) for name in there for each in _in_turns(having[name])[:share]]


def _in_turns(placed: Sequence[Placed]) -> List[Placed]:
    """One of each split after the other, so that few show both."""
    seen: Dict[str, int] = {}
    turns = []
    for at, (split, _) in enumerate(placed):
        seen[split] = seen.get(split, 0) + 1
        turns.append((seen[split], at))
    return [placed[at] for _, at in sorted(turns)]


def _odd(
    placed: Sequence[Placed], boxes: Boxes, order: np.ndarray, input_size: Size
) -> List[Tuple[str, Placed]]:
    """Pictures that have most of something; of several the first in ``order`` [pictures]."""
    sides, (width, height) = boxes.sides(input_size), boxes.sizes.T
    objects = boxes.of_pictures(np.ones(len(sides)), np.add)
    labelled, empty = order[objects[order] > 0], order[objects[order] == 0]
    found: List[Tuple[str, Optional[int]]] = [
        ("most objects", _most(labelled, objects)),
        ("smallest object", _most(labelled, -boxes.of_pictures(sides, np.minimum))),
        ("largest object", _most(labelled, boxes.of_pictures(sides, np.maximum))),
        ("most boxes at the edge", _most(labelled, boxes.of_pictures(boxes.at_edge(), np.add))),
        ("widest picture", _most(order, width / height)),
        ("narrowest picture", _most(order, height / width)),
        ("no objects", empty[0] if len(empty) else None),
    ]
    return [(why, placed[index]) for why, index in found if index is not None]


def _most(order: np.ndarray, values: np.ndarray) -> Optional[int]:
    """The picture of these [n] that has most of something, where another has less."""
    ordered = values[order]
    if not len(order) or ordered.max() == ordered.min():
        return None
    return int(order[ordered.argmax()])


def _sample(split: str, example: Example, why: str, classes: Sequence[str]) -> Sample:
    jpeg, size = thumbnail(example, _SIDE)
    scale = size[0] / example.width, size[1] / example.height
    indices = {name: index for index, name in enumerate(classes)}
    boxes = []
    for item in example.annotations[:MOST_BOXES]:
        x, y, width, height = item.extent.box
        scaled = (x * scale[0], y * scale[1], width * scale[0], height * scale[1])
        left, top, across, down = (round(value, 1) for value in scaled)
        boxes.append(Box(indices[item.label], (left, top, across, down)))
    return Sample(split, example.name, why, jpeg, size, len(example.annotations), tuple(boxes))


def thumbnail(example: Example, side: int) -> Tuple[str, Size]:
    """The picture as a JPEG in base64 whose longer side is that long at most, and its size."""
    picture = upright(example.source)
    scale = min(1.0, side / max(picture.shape[:2]))
    size = tuple(max(1, round(length * scale)) for length in picture.shape[1::-1])
    if scale < 1:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    most = _BYTES * side**2 // _SIDE**2
    data = b""
    for quality in _QUALITIES:
        _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        data = encoded.tobytes()
        if len(data) <= most:
            break
    return base64.b64encode(data).decode("ascii"), (size[0], size[1])
