"""Ctrl-C for what runs in threads: it interrupts the main thread alone, which passes it on here.

A thread that waits for a program or for another machine is not interrupted by Python. So whoever
waits says how to end that (`Stopping.meanwhile`), and looks whether it should (`Stopping.check`).
Outside of such threads, all of this does nothing.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")


class Stopping:
    """Tells several threads that they should end."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._guard = threading.Lock()
        self._actions = list[Callable[[], object]]()

    def stop(self) -> None:
        """Ask every thread to end, and end what they wait for."""
        with self._guard:
            self._asked.set()
            actions = list(self._actions)
        for action in actions:
            # One that ends a container asks another machine, which may not answer.
            threading.Thread(target=_quietly, args=[action], daemon=True).start()

    def check(self) -> None:
        """End this thread, if it should.

        Raises:
            KeyboardInterrupt: it should.
        """
        if self._asked.is_set():
            raise KeyboardInterrupt

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the thread should end.

        Raises:
            KeyboardInterrupt: it should.
        """
        self._asked.wait(seconds)
        self.check()

    @contextmanager
    def meanwhile(self, end: Callable[[], object]) -> Iterator[None]:
        """Have ``end`` called where what goes on here should end; then this raises, as `check`."""
        with self._guard:
            self.check()
            self._actions.append(end)
        try:
            yield
        finally:
            with self._guard:
                self._actions.remove(end)
        self.check()

    def thread(self, run: Callable[[], object], name: str) -> threading.Thread:
        """Make a thread that can be stopped; it ends with the process at the latest."""
        context = copy_context()
        context.run(_current.set, self)
        return threading.Thread(target=context.run, args=[run], name=name, daemon=True)


_NEVER = Stopping()
_current: ContextVar[Stopping] = ContextVar("stopping", default=_NEVER)


def current() -> Stopping:
    """What may stop this thread."""
    return _current.get()


def can_be_stopped() -> bool:
    """Whether this is a thread that has to look whether it should end."""
    return current() is not _NEVER


def checked(parts: Iterable[T]) -> Iterator[T]:
    """Give the parts of something long, until the thread should end."""
    for part in parts:
        current().check()
        yield part


def _quietly(action: Callable[[], object]) -> None:
    with suppress(Exception):
        action()
