"""What is odd about a dataset that can be read: said before it costs a training."""

import math
from collections import Counter
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

import numpy as np

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.annotations.findings import Findings
from mmdet_jetson.stages.annotations.near_duplicates import Pair
from mmdet_jetson.stages.annotations.records import Example

Splits = Mapping[str, Sequence[Example]]
Counts = Mapping[str, Mapping[str, int]]
"""Objects by split and class."""

SMALLEST = 8
"""Pixels at the network's input: what one cell of RTMDet's and YOLOX's finest map stands for."""
MUCH_PADDING = 0.3
"""The share of the input, on average over pictures, from which another size is proposed."""
_LEAST_GAIN = 0.1
_STEP = 32  # the coarsest map of RTMDet and YOLOX has a cell for so many pixels
_LONGEST = 4096
LARGE = 16_000_000
"""Pixels of a picture that is much more than a network sees."""
_TIMES_OFF, _DEVIATIONS = 2, 3


def scale_of(example: Example, input_size: Size) -> float:
    """The factor by which a letterbox makes a picture fit the network's input."""
    return min(input_size[0] / example.width, input_size[1] / example.height)


def remark(splits: Splits, classes: Sequence[str], input_size: Size, findings: Findings) -> None:
    """Warn of what a training on these splits would suffer from."""
    counts = {split: per_class(examples, classes) for split, examples in splits.items()}
    _classes(counts, classes, findings)
    _shares(counts, classes, findings)
    _small_boxes(splits, input_size, findings)
    _padding(splits, input_size, findings)
    for where, example in _pictures(splits):
        if example.width * example.height > LARGE:
            findings.warn(
                f"pictures of more than {LARGE // 10**6} megapixels take longer to read than to "
                "learn from; scale them down once",
                f"{where} ({_by((example.width, example.height))})",
            )


def remark_duplicates(
    examples: Sequence[Example], splits: Sequence[str], pairs: Iterable[Pair], findings: Findings
) -> None:
    """Warn of near-duplicates in both splits, and within one; ``splits`` is where each is."""
    for pair in pairs:
        one, other = examples[pair.first], examples[pair.second]
        if one.digest == other.digest:
            continue  # These have been told of already.
        where = [f"{splits[pair.first]}, {one.name}", f"{splits[pair.second]}, {other.name}"]
        if splits[pair.first] != splits[pair.second]:
            findings.warn(
                "near-duplicates in both splits make the figures of the evaluation too good",
                " and ".join(where),
            )
        else:
            findings.warn("look nearly the same", f"{where[0]} and {other.name}")


def per_class(examples: Sequence[Example], classes: Sequence[str]) -> Dict[str, int]:
    """How many objects of each class there are."""
    counts = Counter(item.label for example in examples for item in example.annotations)
    return {name: counts[name] for name in classes}


def _pictures(splits: Splits) -> List[Tuple[str, Example]]:
    return [
        (f"{split}, {example.name}", example)
        for split, examples in splits.items()
        for example in examples
    ]


def _classes(counts: Counts, classes: Sequence[str], findings: Findings) -> None:
    for name in classes:
        having = [split for split in counts if counts[split][name]]
        if not having:
            findings.warn("a class has no annotations", name)
        elif len(having) < len(counts):
            told = f"{name} ({counts[having[0]][name]} in {having[0]})"
            findings.warn("a class has annotations in one split only", told)


def _shares(counts: Counts, classes: Sequence[str], findings: Findings) -> None:
    """Warn of classes that a split has far more or less of than its objects let expect."""
    totals = {split: sum(each.values()) for split, each in counts.items()}
    for name in classes:
        found = [of[name] for of in counts.values()]
        if not all(found):
            continue
        smaller = min(totals, key=lambda split: totals[split])
        expected = sum(found) * totals[smaller] / sum(totals.values())
        got = counts[smaller][name]
        ratio = max(got / expected, expected / got)
        if ratio > _TIMES_OFF and abs(got - expected) > _DEVIATIONS * expected**0.5:
            told = [f"{counts[split][name]} of {totals[split]} in {split}" for split in counts]
            findings.warn(
                "a class has very different shares of the objects of the splits",
                f"{name} ({', '.join(told)})",
            )


def _small_boxes(splits: Splits, input_size: Size, findings: Findings) -> None:
    learned = [
        (split, example, [item for item in example.annotations if not item.crowd])
        for split, examples in splits.items()
        for example in examples
    ]
    objects = sum(len(items) for _, _, items in learned)
    small = []
    for split, example, items in learned:
        scale = scale_of(example, input_size)
        for item in items:
            _, _, width, height = item.extent.box
            if math.sqrt(width * height) * scale < SMALLEST:
                sides = f"{width * scale:.1f} × {height * scale:.1f}"
                small.append(f"{split}, {example.name}, {item.label} of {sides}")
    for where in small:
        findings.warn(
            f"boxes of less than {_by((SMALLEST, SMALLEST))} pixels at the network's input of "
            f"{_by(input_size)} are smaller than one cell of its finest map and hardly learned "
            f"({len(small) / objects:.1%} of {objects})",
            where,
        )


def padding_of(sizes: np.ndarray, input_size: Size) -> np.ndarray:
    """The share of the network's input that is padding, of pictures [n, 2] (width, height)."""
    scale = (np.array(input_size) / sizes).min(axis=1)
    shares: np.ndarray = 1 - sizes.prod(axis=1) * scale**2 / (input_size[0] * input_size[1])
    return shares


def _padding(splits: Splits, input_size: Size, findings: Findings) -> None:
    listed = _pictures(splits)
    sizes = np.array([(each.width, each.height) for _, each in listed], float)
    padding = padding_of(sizes, input_size)
    mean = float(padding.mean())
    if mean >= MUCH_PADDING:
        better, rest = _better_size(sizes, input_size)
        if rest <= mean - _LEAST_GAIN:
            where, example = listed[int(padding.argmax())]
            findings.warn(
                f"{mean:.0%} of the network's input of {_by(input_size)} is padding, on average; "
                f"input_size = [{better[0]}, {better[1]}] would have {rest:.0%} for the same work",
                f"{where} ({_by((example.width, example.height))})",
            )
    for (where, example), share in zip(listed, padding):
        if share > 0.5 and share > mean + _LEAST_GAIN:
            findings.warn(
                f"pictures fill less than half of the network's input of {_by(input_size)}, as "
                "their aspect ratio is another",
                f"{where} ({_by((example.width, example.height))})",
            )


def _better_size(sizes: np.ndarray, input_size: Size) -> Tuple[Size, float]:
    """The input size of about the same number of pixels that has the least padding."""
    pixels = input_size[0] * input_size[1]
    best, least = input_size, float(padding_of(sizes, input_size).mean())
    for width in range(_STEP, _LONGEST + 1, _STEP):
        height = round(pixels / width / _STEP) * _STEP
        if 0 < height <= _LONGEST and 0.9 * pixels <= width * height <= 1.1 * pixels:
            rest = float(padding_of(sizes, (width, height)).mean())
            if rest < least - 1e-9:
                best, least = (width, height), rest
    return best, least


def _by(size: Size) -> str:
    return f"{size[0]} × {size[1]}"
