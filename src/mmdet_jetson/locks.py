"""Locks between processes: one computes, the others wait and then find the result.

A lock is a file that stays where it is. Removing one that is free would be a race: somebody may
have opened it already, and hold what the next one does not see.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

import portalocker

from mmdet_jetson import stopping

POLL = 0.2  # seconds between two looks of a thread that has to end when it is told so


@contextmanager
def hold(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[TextIO]:
    """Hold an exclusive lock on ``path``; ``on_wait`` is called once if another holds it now.

    The kernel releases the lock when its last holder dies, so a killed process blocks nobody.
    A child process that inherits the file descriptor shares the lock: it stays held until both
    are gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        if not _try(stream):
            on_wait()
            _wait(stream)
        yield stream


@contextmanager
def hold_open(stream: IO[bytes], on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on an open file, as `hold`; it is released before the file closes."""
    if not _try(stream):
        on_wait()
        _wait(stream)
    try:
        yield
    finally:
        portalocker.unlock(stream)


@contextmanager
def hold_folder(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on a folder itself, which leaves no file in it; else as `hold`."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _try(handle):
            on_wait()
            _wait(handle)
        yield
    finally:
        os.close(handle)


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock on ``path`` unless another holds it; gives whether it is held here.

    Whoever clears up after others uses this: between a look and a `hold`, somebody could go on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        yield _try(stream)


def lock_in_place(stream: IO[bytes], path: Path) -> bool:
    """Lock an open file, unless another holds it, or has renamed or removed it meanwhile."""
    try:
        return _try(stream) and os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def lock_beside(path: Path) -> Path:
    """Name the lock of whoever works in a folder or on a file: it lies beside that."""
    return path.with_name(f"{path.name}.lock")


def _wait(stream: IO[str] | IO[bytes] | int) -> None:
    """Wait for a lock; the kernel would not let go a thread that Ctrl-C is passed on to."""
    if not stopping.can_be_stopped():
        portalocker.lock(stream, portalocker.LockFlags.EXCLUSIVE)
        return
    while not _try(stream):
        stopping.current().pause(POLL)


def _try(stream: IO[str] | IO[bytes] | int) -> bool:
    flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
    try:
        portalocker.lock(stream, flags)
    except portalocker.LockException:
        return False
    return True
