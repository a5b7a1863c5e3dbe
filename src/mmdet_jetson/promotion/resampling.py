"""Bounds of a difference between two models: a Bayesian bootstrap with one picture more.

`accuracy` says why. All is computed with fixed random numbers: a verdict has to come out again.
"""

from collections.abc import Iterator

import numpy as np

CONFIDENCE = 0.99
"""Of each bound."""
DRAWS, PIECE = 2000, 500
COST = 2
"""How many times its objects a picture that was not seen may cost: they are missed, and as many
wrong detections are there, with the scores of right ones."""


def bounds(changes: np.ndarray, lost: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """What a difference may be lower and higher by, each with `CONFIDENCE`.

    ``changes`` are the influences of the pictures on it. ``lost`` and ``found`` add up to what it
    changes by where a model finds nothing, or all, and have the share of each picture in that.
    """
    count = len(changes)
    columns = np.stack([changes, np.ones(count), lost, found], axis=1)
    # The share of one of several random weights in their sum does not depend on the others', so it
    # can take each size in turn: the bounds hang on it.
    odds = np.expm1(-np.log1p(-np.arange(DRAWS) / DRAWS) / count).reshape(-1, PIECE)
    low, high = [], []
    for weights, odd in zip(drawn_weights(count), odds, strict=True):
        change, total, all_lost, all_found = (weights @ columns).T
        seen, unseen = change * count / total, odd * total
        low.append(seen + _one_more(lost, all_lost, unseen))
        high.append(seen + _one_more(found, all_found, unseen))
    rank = round((1 - CONFIDENCE) * DRAWS)
    more = _skew(changes)
    return (
        float(np.sort(np.concatenate(low))[rank - 1]) + min(more, 0.0),
        float(np.sort(np.concatenate(high))[-rank]) + max(more, 0.0),
    )


def typical(shares: np.ndarray) -> float:
    """The share of the picture on which whatever is shared out is on average."""
    total = float(shares.sum())
    return float((shares**2).sum()) / total if total else 0.0


def _skew(changes: np.ndarray) -> float:
    """The change by the picture that the spread of all changes is on average.

    Where a few pictures lose much, a sample that has too few of them tells a smaller spread, too:
    for skewed numbers the bounds of a bootstrap are too near. Half of this would be the correction
    of second order.
    """
    spread = float((changes**2).sum())
    return float((changes**3).sum()) / spread if spread else 0.0


def _one_more(shares: np.ndarray, weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The change by one more picture of a weight, beside all those that it is like."""
    one = typical(shares)
    if not one:
        return np.zeros_like(weighted)
    share = weight * one / (weighted + weight * one)
    more: np.ndarray = shares.sum() * np.minimum(COST * share, 1)
    return more


def drawn_weights(pictures: int) -> Iterator[np.ndarray]:
    """Weights of pictures, `DRAWS` times, in pieces; always the same ones.

    The stream of a RandomState is the only one that NumPy keeps the same in all versions.
    """
    stream = np.random.RandomState(0)
    for _ in range(DRAWS // PIECE):
        yield -np.log(1 - stream.random_sample((PIECE, pictures)))
