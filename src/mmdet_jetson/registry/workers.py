"""Several requests at once, which end together: at the first error, or when a user cancels."""

import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
WIDTH = 6
"""How many go at once; `skopeo` has as many."""
GRACE = 5.0
"""Seconds that requests under way are given together to end, once they are told to."""


class Stopped(Exception):
    """Another worker failed, or the user cancelled."""


class Workers:
    """Threads for one transfer.

    They are daemons: one that waits for a dead network does not keep a cancelled command from
    ending. What it leaves is what any killed transfer leaves.
    """

    def __init__(self, width: int = WIDTH) -> None:
        self._width = width
        self._stop = threading.Event()

    def check(self) -> None:
        """Raise `Stopped` once all shall end; who works long calls this now and then."""
        if self._stop.is_set():
            raise Stopped

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do some work for every item; the results have the order of the items.

        Raises:
            Exception: the first that a worker raised, once the others have ended.
        """
        todo = list(enumerate(items))[::-1]
        done: dict[int, R] = {}
        errors: list[BaseException] = []

        def run() -> None:
            try:
                while todo and not self._stop.is_set():
                    try:
                        number, item = todo.pop()
                    except IndexError:  # another took the last
                        return
                    done[number] = work(item)
            except BaseException as error:  # raised where the threads are awaited
                errors.append(error)
                self._stop.set()

        threads = [
            threading.Thread(target=run, daemon=True) for _ in range(min(self._width, len(todo)))
        ]
        self._await(threads)
        if errors:
            raise next((each for each in errors if not isinstance(each, Stopped)), errors[0])
        return [done[number] for number in sorted(done)]

    def _await(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive() and not self._stop.is_set():
                    thread.join(1)
        finally:
            if any(thread.is_alive() for thread in threads):
                self._stop.set()
            end = monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, end - monotonic()))
