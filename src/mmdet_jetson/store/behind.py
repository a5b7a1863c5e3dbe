"""What is done with the blocks of a large file in a thread of its own, while more are read."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType

AHEAD = 2
"""Blocks that may wait; they are 1 MB at most."""


class Behind:
    """Hands blocks on in their order. All are done at the end of the context, whatever ends it."""

    def __init__(self, work: Callable[[bytes], None]) -> None:
        self._work = work
        self._queue: queue.Queue[bytes | None] = queue.Queue(AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Callable[[bytes], None]:
        self._thread.start()
        return self._add

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error and error is not self._error:
            raise self._error

    def _add(self, block: bytes) -> None:
        if self._error:
            raise self._error
        self._queue.put(block)

    def _run(self) -> None:
        while (block := self._queue.get()) is not None:
            if self._error:
                continue  # whoever adds must not wait for room
            try:
                self._work(block)
            except BaseException as error:  # raised where blocks come from
                self._error = error
