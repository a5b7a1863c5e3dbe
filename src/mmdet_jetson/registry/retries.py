"""Trying again: with longer and longer pauses, until it is no use."""

from collections.abc import Callable
from random import random
from typing import TypeVar

import tenacity

from mmdet_jetson.registry.connections import Patience
from mmdet_jetson.registry.failures import Dropped

T = TypeVar("T")
_WORTH = 1 << 18
"""Bytes that count as progress. A byte each time would never end."""


def NO_PROGRESS() -> int:  # noqa: N802 - a constant that is called
    """Of what goes over whole or not at all."""
    return 0


class _Fruitless:
    """Stop after some attempts in a row that brought nothing new."""

    def __init__(self, patience: Patience, progress: Callable[[], int]) -> None:
        self._patience, self._progress = patience, progress
        self._most = progress()
        self._count = 0

    def is_enough(self, state: tenacity.RetryCallState) -> bool:
        error = _error(state)
        if self._progress() >= self._most + _WORTH:
            self._most, self._count = self._progress(), 0
        self._count += error.cost
        too_long = error.pause > self._patience.longest_pause
        return too_long or self._count >= self._patience.attempts

    def pause(self, state: tenacity.RetryCallState) -> float:
        wanted = self._patience.pause * 2.0**self._count
        jitter = 0.5 + random()  # noqa: S311 - spreads out clients, hides nothing
        return max(_error(state).pause, min(wanted * jitter, self._patience.longest_pause))


def retry(
    attempt: Callable[[], T], patience: Patience, progress: Callable[[], int] = NO_PROGRESS
) -> T:
    """Try again after each `Dropped`, until several in a row have brought no ``progress``.

    Raises:
        Dropped: the last one.
        PlaceError: what no further attempt would change, at once.
    """
    state = _Fruitless(patience, progress)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Dropped),
        wait=state.pause,
        stop=state.is_enough,
        reraise=True,
    )
    return retrying(attempt)


def _error(state: tenacity.RetryCallState) -> Dropped:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, Dropped) else Dropped("")
