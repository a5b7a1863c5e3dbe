"""AP of pictures that were matched before, and whether one model is not worse than another.

Both are computed from ``matches.npz`` (`contract.matches`), by numpy alone.

Two models are compared on the same pictures, in pairs, by a Bayesian bootstrap (Rubin, "The
Bayesian Bootstrap", 1981): each picture has a random weight, and one is added that was not seen.
For the lower bound, the model finds nothing on it of what it finds elsewhere, and has as many wrong
detections there with the scores of right ones, which costs twice as much; for the upper, all and
none. Without it, a model that loses everything on one picture in a hundred would pass by any
bootstrap whenever no such picture is among those that it is judged by. Where nothing is lost, on
pictures alike, the bound is exactly twice that of Clopper and Pearson, so nothing passes a ratio of
0.99 on fewer than 919 pictures. Without the factor of 2 it is that of Gaffke (2005), whose coverage
Learned-Miller and Thomas ("A New Confidence Interval for the Mean of a Bounded Random Variable",
2019) found to hold wherever they looked, if no picture can cost more. One can: so the bounds are
wider, too, where losses were seen that are large and few. What is weighted is the influence of each
picture on AP.
`benchmarks/promotion_gates.py` shows how often it errs.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmdet_jetson.contract.matches import IOU_THRESHOLDS
from mmdet_jetson.promotion.precision import Curve
from mmdet_jetson.promotion.resampling import bounds, typical

AP50 = 0.5
"""The IoU from which on a detection has found an object, for AP50."""
FEWEST_PICTURES = 10
"""With an object. Below it no bound is told: so few weights say little of any other pictures."""


@dataclass(frozen=True)
class Matches:
    """The arrays of ``matches.npz``, as `contract.matches` describes them."""

    pictures: tuple[str, ...]
    classes: tuple[str, ...]
    objects: np.ndarray
    picture: np.ndarray
    label: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray

    @property
    def pictures_with_objects(self) -> int:
        """Those that anything can be lost on."""
        return int(np.count_nonzero(self.objects.sum(axis=1)))


@dataclass(frozen=True)
class Comparison:
    """AP of a model less ``ratio`` times AP of another: as measured, and its bounds.

    ``low`` and ``high`` are one-sided bounds, each with the confidence of the gate. ``pictures``
    are those with an object; ``weakest`` is the class on so few that it decides the lower bound.
    """

    difference: float
    low: float
    high: float
    pictures: int
    weakest: str = ""


def read_matches(content: bytes) -> Matches:
    """Read ``matches.npz``.

    Raises:
        ValueError: it is damaged, or its arrays do not fit each other.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in Matches.__annotations__}
    except (OSError, EOFError, KeyError, NotImplementedError, MemoryError) as error:
        raise ValueError(f"it holds no matches: {error}") from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, AttributeError) as error:
        raise ValueError(f"it holds no matches: {error}") from error
    _check(found)
    pictures, classes = (tuple(found.pop(name).tolist()) for name in ("pictures", "classes"))
    return Matches(pictures, classes, **found)


def _check(found: dict[str, np.ndarray]) -> None:
    for name in ("pictures", "classes"):
        if found[name].dtype.kind != "U" or found[name].ndim != 1:
            raise ValueError(f"{name} are no list of names")
        if len(set(found[name].tolist())) < len(found[name]):
            raise ValueError(f"{name} has a name twice")
    objects, sizes = found["objects"], (len(found["pictures"]), len(found["classes"]))
    if objects.shape != sizes or objects.dtype.kind not in "iu" or (objects < 0).any():
        raise ValueError("objects are no numbers for each picture and class")
    columns = [found[name] for name in ("picture", "label", "score", "matched", "ignored")]
    if any(each.shape != columns[0].shape or each.ndim != 1 for each in columns):
        raise ValueError("detections lack a picture, a label, a score or what they matched")
    for name, kinds, end in (("picture", "iu", sizes[0]), ("label", "iu", sizes[1])):
        values = found[name]
        if values.dtype.kind not in kinds or ((values < 0) | (values >= end)).any():
            raise ValueError(f"a detection has a {name} that is none")
    if found["score"].dtype.kind != "f" or not np.isfinite(found["score"]).all():
        raise ValueError("a detection has a score that is no number")
    if any(found[name].dtype.kind != "u" for name in ("matched", "ignored")):
        raise ValueError("what detections matched is told by no bits")


def average_precision(matches: Matches) -> float | None:
    """AP as COCO has it, at all sizes; None where there is no object."""
    return _mean([each for each in precision_of_classes(matches).values() if each is not None])


def average_precision_at(matches: Matches, iou: float) -> float | None:
    """The same at one of `IOU_THRESHOLDS`, as AP50."""
    bit = IOU_THRESHOLDS.index(iou)
    each = ((label, np.flatnonzero(matches.label == label)) for label in _judged(matches))
    return _mean([_curve(matches, label, bit, found).average() for label, found in each])


def precision_of_classes(matches: Matches) -> dict[str, float | None]:
    """AP by class; None for a class without an object."""
    found: dict[str, float | None] = dict.fromkeys(matches.classes)
    for label in _judged(matches):
        found[matches.classes[label]] = _mean([each.average() for each in _curves(matches, label)])
    return found


def found_from(matches: Matches, score: float) -> tuple[int, int]:
    """How many detections from a score on found an object, at an IoU of 0.5, and how many none."""
    flag = np.uint16(1 << IOU_THRESHOLDS.index(AP50))
    # Scores were rounded to float32: so has to be what they are compared with.
    counts = (matches.score >= np.float32(score)) & ((matches.ignored & flag) == 0)
    right = int(np.count_nonzero((matches.matched[counts] & flag) != 0))
    return right, int(np.count_nonzero(counts)) - right


def compare(model: Matches, other: Matches, ratio: float) -> Comparison | None:
    """Compare two models on the same pictures, paired.

    None where pictures or objects are too few, or do not belong together.
    """
    if not belong_together(model, other) or model.pictures_with_objects < FEWEST_PICTURES:
        return None
    mine, others = _measured(model), _measured(other)
    difference = mine.average - ratio * others.average
    changes = mine.influences - ratio * others.influences
    (lost, weakest), (found, _) = (_unseen(model, to - mine.averages) for to in (0, 1))
    low, high = bounds(changes, lost, found)
    pictures = model.pictures_with_objects
    return Comparison(difference, difference + low, difference + high, pictures, weakest)


def belong_together(model: Matches, other: Matches) -> bool:
    """Whether both were matched with the same objects of the same pictures."""
    same_names = (model.pictures, model.classes) == (other.pictures, other.classes)
    return same_names and bool((model.objects == other.objects).all())


def are_the_same(model: Matches, other: Matches) -> bool:
    """Whether two models detect exactly the same."""
    names = ("picture", "label", "score", "matched", "ignored")
    return belong_together(model, other) and all(
        np.array_equal(getattr(model, name), getattr(other, name)) for name in names
    )


@dataclass(frozen=True)
class _Measured:
    """AP of each class with an object, and how fast their mean grows with each picture's weight."""

    averages: np.ndarray
    influences: np.ndarray

    @property
    def average(self) -> float:
        return float(self.averages.mean())


def _measured(matches: Matches) -> _Measured:
    averages, influences = [], np.zeros(len(matches.pictures))
    for label in _judged(matches):
        curves = list(_curves(matches, label))
        averages.append(np.mean([each.average() for each in curves]))
        influences += np.mean([each.influences() for each in curves], axis=0)
    return _Measured(np.array(averages), influences / len(averages))


def _unseen(model: Matches, changes: np.ndarray) -> tuple[np.ndarray, str]:
    """The worst that can happen on a picture: to all classes, or to one that is on few pictures.

    ``changes`` are those of each class's AP where it happens on all pictures. Gives the share of
    each picture in what that does to AP, and the class; "" for all.
    """
    labels = _judged(model)
    objects = model.objects[:, labels]
    shares = objects / objects.sum(axis=0) * changes / len(labels)
    each = [(shares[:, i], model.classes[label]) for i, label in enumerate(labels)]
    return max([(shares.sum(axis=1), ""), *each], key=lambda unseen: abs(typical(unseen[0])))


def _judged(matches: Matches) -> list[int]:
    """The classes of which there is an object."""
    return [int(label) for label in np.flatnonzero(matches.objects.sum(axis=0))]


def _curves(matches: Matches, label: int) -> Iterator[Curve]:
    """The curves of a class, for one IoU after the other."""
    of_class = np.flatnonzero(matches.label == label)
    for bit in range(len(IOU_THRESHOLDS)):
        yield _curve(matches, label, bit, of_class)


def _curve(matches: Matches, label: int, bit: int, of_class: np.ndarray) -> Curve:
    flag = np.uint16(1 << bit)
    counts = of_class[(matches.ignored[of_class] & flag) == 0]
    correct = (matches.matched[counts] & flag) != 0
    return Curve(matches.picture[counts], correct, matches.objects[:, label])


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
