"""Bounds of a difference between two models: a Bayesian bootstrap with one picture more.

`accuracy` says why. All is computed with fixed random numbers: a verdict has to come out again.
"""

from collections.abc import Iterator

import numpy as np

CONFIDENCE = 0.99
"""Of each bound."""
DRAWS, PIECE = 2000, 500


def bounds(changes: np.ndarray, lost: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """What a difference may be lower and higher by, each with `CONFIDENCE`.

    ``changes`` are the influences of the pictures on it. ``lost`` and ``found`` add up to what it
    changes by where a model finds nothing, or all, and have the share of each picture in that.
    """
    columns = np.stack([changes, np.ones(len(changes)), lost, found], axis=1)
    low, high = [], []
    for weights in drawn_weights(len(changes)):
        change, total, all_lost, all_found = (weights[:, :-1] @ columns).T
        seen, unseen = change * len(changes) / total, weights[:, -1]
        low.append(seen + _one_more(lost, all_lost, unseen))
        high.append(seen + _one_more(found, all_found, unseen))
    rank = round((1 - CONFIDENCE) * DRAWS)
    return (
        float(np.sort(np.concatenate(low))[rank - 1]),
        float(np.sort(np.concatenate(high))[-rank]),
    )


def typical(shares: np.ndarray) -> float:
    """The share of the picture on which whatever is shared out is on average."""
    total = float(shares.sum())
    return float((shares**2).sum()) / total if total else 0.0


def _one_more(shares: np.ndarray, weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The change by one more picture of a weight, beside all those that it is like."""
    one = typical(shares)
    if not one:
        return np.zeros_like(weighted)
    more: np.ndarray = shares.sum() * weight * one / (weighted + weight * one)
    return more


def drawn_weights(pictures: int) -> Iterator[np.ndarray]:
    """Weights of pictures and of one more, `DRAWS` times, in pieces; always the same ones.

    The weight of the picture that was not seen takes every size in turn: the bounds hang on it.
    The stream of a RandomState is the only one that NumPy keeps the same in all versions.
    """
    stream = np.random.RandomState(0)
    for start in range(0, DRAWS, PIECE):
        shares = stream.random_sample((PIECE, pictures + 1))
        shares[:, -1] = (np.arange(start, start + PIECE) + shares[:, -1]) / DRAWS
        yield -np.log(1 - shares)
