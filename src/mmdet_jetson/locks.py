"""Locks between processes: one computes, the others wait and then find the result."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import portalocker


@contextmanager
def hold(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[IO[Any]]:
    """Hold an exclusive lock on ``path``; ``on_wait`` is called once if another holds it now.

    The kernel releases the lock when its last holder dies, so a killed process blocks nobody.
    A child process that inherits the file descriptor shares the lock: it stays held until both
    are gone. Whoever holds the lock may delete the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as stream:
            _acquire(stream, on_wait)
            if _still_there(path, stream):
                yield stream
                return


def is_free(path: Path) -> bool:
    """Tell whether nobody holds the lock right now."""
    if not path.exists():
        return True
    with path.open("a") as stream:
        return _try(stream)


def _acquire(stream: IO[Any], on_wait: Callable[[], None]) -> None:
    if not _try(stream):
        on_wait()
        portalocker.lock(stream, portalocker.LockFlags.EXCLUSIVE)


def _try(stream: IO[Any]) -> bool:
    flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
    try:
        portalocker.lock(stream, flags)
    except portalocker.LockException:
        return False
    return True


def _still_there(path: Path, stream: IO[Any]) -> bool:
    """A lock whose file was deleted while we waited guards nothing any more."""
    try:
        return path.stat().st_ino == os.fstat(stream.fileno()).st_ino
    except FileNotFoundError:
        return False
