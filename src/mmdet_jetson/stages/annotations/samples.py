"""Sample pictures of a dataset with their boxes: a few of each class, and the odd ones."""

import base64
import hashlib
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import cv2

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.annotations.glance_file import MOST_BOXES, Box, Sample
from mmdet_jetson.stages.annotations.pictures import upright
from mmdet_jetson.stages.annotations.records import Example
from mmdet_jetson.stages.annotations.remarks import scale_of, side_of

MOST_SAMPLES = 24
_OF_CLASSES = 18
_OF_ONE_CLASS = 6
_SIDE = 360
_BYTES = 30_000  # of a thumbnail of that side
_QUALITIES = (80, 60, 40, 20)

Placed = Tuple[str, Example]


def choose_samples(
    splits: Mapping[str, Sequence[Example]], classes: Sequence[str], input_size: Size
) -> Tuple[Sample, ...]:
    """Some pictures of each class in turn, then those with the most, the smallest, and so on."""
    placed = sorted(
        ((split, example) for split, made in splits.items() for example in made), key=_rank
    )
    whys: Dict[Tuple[str, str], List[str]] = {}
    chosen: Dict[Tuple[str, str], Placed] = {}
    for why, found in [*_of_classes(placed, classes), *_odd(placed, input_size)]:
        key = found[0], found[1].name
        if key in chosen or len(chosen) < MOST_SAMPLES:
            chosen[key] = found
            whys.setdefault(key, []).append(why)
    return tuple(_sample(*chosen[key], "; ".join(whys[key]), classes) for key in chosen)


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


def _odd(placed: Sequence[Placed], input_size: Size) -> List[Tuple[str, Placed]]:
    def sides(example: Example) -> Tuple[float, float]:
        scale = scale_of(example, input_size)
        all_ = [side_of(item, scale) for item in example.annotations]
        return min(all_), max(all_)

    labelled = [each for each in placed if each[1].annotations]
    empty = [each for each in placed if not each[1].annotations]
    extremes = {id(each[1]): sides(each[1]) for each in labelled}
    found: List[Tuple[str, Optional[Placed]]] = [
        ("most objects", _most(labelled, lambda each: len(each[1].annotations))),
        ("smallest object", _most(labelled, lambda each: -extremes[id(each[1])][0])),
        ("largest object", _most(labelled, lambda each: extremes[id(each[1])][1])),
        ("most boxes at the edge", _most(labelled, lambda each: _at_edge(each[1]))),
        ("widest picture", _most(placed, lambda each: each[1].width / each[1].height)),
        ("narrowest picture", _most(placed, lambda each: each[1].height / each[1].width)),
        ("no objects", empty[0] if empty else None),
    ]
    return [(why, each) for why, each in found if each is not None]


def _most(placed: Sequence[Placed], value: Callable[[Placed], float]) -> Optional[Placed]:
    """The one that has most of something, where another has less."""
    values = [value(each) for each in placed]
    if not values or max(values) == min(values):
        return None
    return placed[values.index(max(values))]


def _at_edge(example: Example) -> int:
    return sum(
        x < 1 or y < 1 or x + width > example.width - 1 or y + height > example.height - 1
        for x, y, width, height in (item.extent.box for item in example.annotations)
    )


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
