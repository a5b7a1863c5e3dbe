"""What is told to a server from a thread of its own, so that no training ever waits for one."""

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]


class Delivery:
    """Does jobs one after another, in order, and one that fails again after a while.

    ``on_failure`` is told of the first failure. Nothing is lost while a server is away, unless it
    still is at the end.
    """

    def __init__(
        self, on_failure: Callable[[Exception], object], *, again_after: float = 60.0
    ) -> None:
        self._on_failure = on_failure
        self._again_after = again_after
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = self._has_failed = False
        self._thread = threading.Thread(target=self._work, name="delivery", daemon=True)
        self._thread.start()

    def add(self, job: Job) -> None:
        """Have something done in its turn."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def close(self, seconds: float) -> int:
        """Wait so long for what is left to do; return how much was not done."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        return len(self._waiting)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                last = self._closing
            if self._done(self._waiting[0]):
                self._waiting.popleft()
            elif last:
                return
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, self._again_after)

    def _done(self, job: Job) -> bool:
        try:
            job()
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                self._on_failure(error)
            return False
        return True
