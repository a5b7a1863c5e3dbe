"""Steps that go on at once, each in a thread of its own, with little waiting between two of them.

OpenCV and the backends let go of Python's lock while they work, so threads are enough.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Thread
from time import perf_counter
from typing import Callable, Deque, Generic, Iterable, Iterator, Optional, TypeVar

T = TypeVar("T")
R = TypeVar("R")
# Who waits looks up this often, in seconds, whether it is still wanted: a signal's handler may set
# a flag, and wait for no lock.
LOOKS_UP = 0.1


class Channel(Generic[T]):
    """Items in order from one thread to another, ``room`` of them at most on their way.

    Who puts one more waits; while ``newest`` says so, it takes the place of all that wait, which
    are counted in ``dropped``. ``waited`` are the seconds that the taking side has waited.
    """

    def __init__(self, room: int, newest: Callable[[], bool] = lambda: False) -> None:
        self.room, self.newest = room, newest
        self.dropped, self.waited = 0, 0.0
        self.stopped = False
        self._ended = False
        self._error: Optional[BaseException] = None
        self._items: Deque[T] = deque()
        self._changed = Condition()

    def put(self, item: T) -> bool:
        """Hand on an item; False where nobody wants any more."""
        with self._changed:
            if self.newest():
                self.dropped += len(self._items)
                self._items.clear()
            while len(self._items) >= self.room and not self.stopped:
                self._changed.wait(LOOKS_UP)
            if self.stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: Optional[BaseException] = None) -> None:
        """Say that no more will come; with an error, that is raised behind the last item."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Let go, from either side and from a signal's handler: nothing more is handed on."""
        self.stopped = True

    def __iter__(self) -> Iterator[T]:
        while True:
            began = perf_counter()
            with self._changed:
                while not (self._items or self._ended or self.stopped):
                    self._changed.wait(LOOKS_UP)
                self.waited += perf_counter() - began
                if self.stopped or not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error and not self.stopped:
            raise self._error


class Ahead(Generic[T]):
    """Runs an iterator in a thread, ``room`` items ahead of whoever takes them.

    What the iterator raises is raised here, where its item would have been.
    """

    def __init__(
        self, items: Iterable[T], room: int, newest: Callable[[], bool] = lambda: False
    ) -> None:
        self.channel: Channel[T] = Channel(room, newest)
        self.thread = Thread(target=self._run, args=(iter(items),), daemon=True)
        self.thread.start()

    def __iter__(self) -> Iterator[T]:
        return iter(self.channel)

    def _run(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self.channel.put(item):
                    break
            close: Callable[[], object] = getattr(items, "close", lambda: None)
            close()  # on this thread, which opened what it reads
        except BaseException as error:  # raised again where the items are taken
            self.channel.end(error)
        else:
            self.channel.end()


class Behind(Generic[T]):
    """Consumes items in a thread, ``room`` items behind whoever puts them.

    ``consume`` is called once with an iterator over all of them.
    """

    def __init__(self, consume: Callable[[Iterable[T]], None], room: int) -> None:
        self.channel: Channel[T] = Channel(room)
        self.error: Optional[BaseException] = None
        self.thread = Thread(target=self._run, args=(consume,), daemon=True)
        self.thread.start()

    def put(self, item: T) -> None:
        """Hand on an item, or raise what the consumer has failed with."""
        if not self.channel.put(item):
            self._tell()

    def finish(self) -> None:
        """Wait until all is consumed, and raise what that has failed with."""
        self.channel.end()
        self.thread.join()
        self._tell()

    def _tell(self) -> None:
        if self.error:
            raise self.error

    def _run(self, consume: Callable[[Iterable[T]], None]) -> None:
        try:
            consume(self.channel)
        except BaseException as error:  # raised again by whoever puts the next item
            self.error = error
        finally:
            self.channel.stop()


def in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Map with several threads, at most ``workers`` items ahead; results come in order."""
    waiting: Deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
