"""AP of pictures that were matched before, and whether one model is not worse than another.

Both are computed from ``matches.npz`` (`contract.matches`), by numpy alone.

Two models are compared on the same pictures, in pairs, by a Bayesian bootstrap (Rubin, "The
Bayesian Bootstrap", 1981): each picture has a random weight, and one is added that was not seen.
For the lower bound, the model finds nothing on it of what it finds elsewhere; for the upper, all.
Without it, a model that loses everything on one picture in a hundred would pass by any bootstrap
whenever no such picture is among those that it is judged by. For losses that are all or nothing the
bound is exactly that of Clopper and Pearson, so nothing passes a ratio of 0.99 on fewer than 459
pictures. In general it is the bound of Gaffke (2005), whose coverage Learned-Miller and Thomas ("A
New Confidence Interval for the Mean of a Bounded Random Variable", 2019) found to hold wherever
they looked. What is weighted is the influence of each picture on AP. `benchmarks/promotion_gates.py`
shows how often it errs.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log

import numpy as np

from mmdet_jetson.contract.matches import IOU_THRESHOLDS
from mmdet_jetson.promotion.precision import Curve

CONFIDENCE = 0.99
"""Of each bound of a comparison."""
DRAWS, PIECE = 2000, 500
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


def fewest_pictures(ratio: float) -> int:
    """How many pictures with an object a model needs at least to be shown not to be worse.

    It may lose everything on 1 - ``ratio`` of all pictures: so many have to be seen that one of
    these is among them, with the confidence of the gate. 459 for 0.99, as in MLPerf's rule.
    """
    if not 0 < ratio < 1:
        return FEWEST_PICTURES
    return max(FEWEST_PICTURES, ceil(log(1 - CONFIDENCE) / log(ratio)))


def compare(model: Matches, other: Matches, ratio: float) -> Comparison | None:
    """Compare two models on the same pictures, paired.

    None where pictures or objects are too few, or do not belong together.
    """
    if not belong_together(model, other) or model.pictures_with_objects < FEWEST_PICTURES:
        return None
    mine, others = average_precision(model), average_precision(other)
    if mine is None or others is None:
        return None
    difference = mine - ratio * others
    lost, found = _unseen(model, 0), _unseen(model, 1)
    changes = _influences(model) - ratio * _influences(other)
    low, high = _bounds(changes, lost.of_picture, found.of_picture)
    pictures = model.pictures_with_objects
    return Comparison(difference, difference + low, difference + high, pictures, lost.label)


def belong_together(model: Matches, other: Matches) -> bool:
    """Whether both were matched with the same objects of the same pictures."""
    same_names = (model.pictures, model.classes) == (other.pictures, other.classes)
    return same_names and bool((model.objects == other.objects).all())


@dataclass(frozen=True)
class _Unseen:
    """What AP would change by if a model found nothing, or all, on a picture like each of these.

    ``of_picture`` adds up to what it would change by if that were so on all of them. ``label`` is
    the class that this is about; "" for all.
    """

    of_picture: np.ndarray
    label: str

    @property
    def of_one(self) -> float:
        """The change by one more such picture."""
        return typical(self.of_picture)


def _unseen(model: Matches, finds: int) -> _Unseen:
    """The worst that can happen on a picture: to all classes, or to one that is on few pictures."""
    labels = _judged(model)
    changes = np.zeros((len(model.pictures), len(labels)))
    for place, label in enumerate(labels):
        objects = model.objects[:, label]
        average = np.mean([each.average() for each in _curves(model, label)])
        changes[:, place] = (finds - average) * objects / objects.sum() / len(labels)
    each = [_Unseen(changes[:, i], model.classes[label]) for i, label in enumerate(labels)]
    return max([_Unseen(changes.sum(axis=1), ""), *each], key=lambda unseen: abs(unseen.of_one))


def typical(shares: np.ndarray) -> float:
    """The share of the picture on which whatever is shared out is on average."""
    total = float(shares.sum())
    return float((shares**2).sum()) / total if total else 0.0


def _bounds(changes: np.ndarray, lost: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """What a difference may be lower and higher by, each with the confidence of the gate.

    ``changes`` are the influences of the pictures on it; ``lost`` and ``found`` what may happen on
    a picture like each.
    """
    columns = np.stack([changes, np.ones(len(changes)), lost, found], axis=1)
    drawn = []
    for weights in _weights(len(changes)):
        change, total, all_lost, all_found = (weights[:, :-1] @ columns).T
        seen, unseen = change * len(changes) / total, weights[:, -1]
        drawn.append(
            [
                seen + _one_more(each, all_of, unseen)
                for each, all_of in ((lost, all_lost), (found, all_found))
            ]
        )
    low, high = np.sort(np.concatenate(drawn, axis=1), axis=1)
    rank = round((1 - CONFIDENCE) * DRAWS)
    return float(low[rank - 1]), float(high[-rank])


def _one_more(shares: np.ndarray, weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The change by one more picture of a weight, beside all those that it is like."""
    one = typical(shares)
    if not one:
        return np.zeros_like(weighted)
    more: np.ndarray = shares.sum() * weight * one / (weighted + weight * one)
    return more


def _weights(pictures: int) -> Iterator[np.ndarray]:
    """Weights of pictures and of one more, `DRAWS` times, in pieces; always the same ones.

    The weight of the picture that was not seen takes every size in turn: the bounds hang on it.
    The stream of a RandomState is the only one that NumPy keeps the same in all versions, and a
    verdict has to come out again.
    """
    stream = np.random.RandomState(0)
    for start in range(0, DRAWS, PIECE):
        shares = stream.random_sample((PIECE, pictures + 1))
        shares[:, -1] = (np.arange(start, start + PIECE) + shares[:, -1]) / DRAWS
        yield -np.log(1 - shares)


def _influences(matches: Matches) -> np.ndarray:
    """How fast AP grows with the weight of each picture."""
    labels = _judged(matches)
    total = np.zeros(len(matches.pictures))
    for label in labels:
        for curve in _curves(matches, label):
            total += curve.influences()
    return total / (len(labels) * len(IOU_THRESHOLDS))


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
