"""What the machines of a run bear: which step may start where, beside which others.

A place, which is a machine or a Docker host, runs one step at a time, unless it is told to run
more. A step that times something has its machine for itself: nothing else of this run goes on
there meanwhile. On the machine of the command that is everything, as sending inputs to another
machine and keeping what comes back is work, too. It is a step's last wish to be granted, so nothing
waits for it that could go on.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mmdet_jetson import stopping
from mmdet_jetson.runtimes.protocol import Place

LOOK = 0.5  # seconds between two looks whether a waiting thread should end
Rank = tuple[int, ...]


class Withdrawn(Exception):
    """A step need not start any more."""


class Room:
    """Who is at work in one run; ``jobs`` is how many steps at once, in all and at a place."""

    def __init__(self, jobs: int | None = None) -> None:
        self._jobs = jobs
        self._changed = threading.Condition()
        self._at_work: dict[Turn, Place] = {}
        self._active = set[Turn]()
        self._waiting: list[Turn] = []
        self._is_closed = False

    def turn(self, places: Sequence[Place], rank: Rank = (), *, times: bool = False) -> "Turn":
        """What a step's thread asks; of several places it takes the first that is free.

        Of those that wait, the one of the lowest ``rank`` comes first, and who ``times`` last.
        """
        return Turn(self, places, rank, times=times)

    def close(self) -> None:
        """Let nothing start any more: who waits, or comes, is `Withdrawn`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def enter(self, turn: "Turn") -> None:
        """Let a thread begin, which is not at work yet, unless something is timed here."""
        with self._changed:
            self._wait(lambda: not self._times_here())
            self._active.add(turn)

    def leave(self, turn: "Turn") -> None:
        """Count a thread no more."""
        with self._changed:
            self._active.discard(turn)
            self._at_work.pop(turn, None)
            self._changed.notify_all()

    def take(self, turn: "Turn") -> Place:
        """Wait until a step may start, and let it.

        Raises:
            Withdrawn: it need not.
        """
        with self._changed:
            self._active.discard(turn)
            self._waiting.append(turn)
            self._changed.notify_all()
            try:
                self._wait(lambda: self._next() is turn)
                place = self._at_work[turn] = self._free(turn)[0]
                self._active.add(turn)
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
            return place

    def give_back(self, turn: "Turn") -> None:
        """Let others have a step's place."""
        with self._changed:
            self._at_work.pop(turn, None)
            self._changed.notify_all()

    def _wait(self, holds: Callable[[], bool]) -> None:
        while not self._is_closed and not holds():
            self._changed.wait(LOOK)
            stopping.current().check()
        if self._is_closed:
            raise Withdrawn

    def _next(self) -> "Turn | None":
        return next((each for each in sorted(self._waiting) if self._free(each)), None)

    def _free(self, turn: "Turn") -> list[Place]:
        if len(self._at_work) >= (self._jobs or len(self._at_work) + 1) or self._times_here():
            return []
        return [place for place in turn.places if self._bears(place, turn)]

    def _bears(self, place: Place, turn: "Turn") -> bool:
        beside = {each: at for each, at in self._at_work.items() if at.machine == place.machine}
        if any(each.times for each in beside) or (turn.times and beside):
            return False
        if turn.times and place.is_here and (self._at_work or self._active - {turn}):
            return False
        most = place.jobs or self._jobs or 1
        return sum(at.name == place.name for at in beside.values()) < most

    def _times_here(self) -> bool:
        return any(each.times and place.is_here for each, place in self._at_work.items())


class Turn:
    """One step's thread, as the others of its run have to mind it."""

    def __init__(self, room: Room, places: Sequence[Place], rank: Rank, *, times: bool) -> None:
        self._room, self._rank = room, (int(times), *rank)
        self.places, self.times = tuple(places), times
        self._rests = False
        self.place: Place | None = None
        """Where it is at work now."""
        self.where, self.seconds = "", 0.0
        """Where it was at work, if it was, and for how long."""

    def __lt__(self, other: "Turn") -> bool:
        return self._rank < other._rank

    def __enter__(self) -> "Turn":
        self._room.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.place = None
        self._room.leave(self)

    def take(self) -> Place:
        """Wait for a place, and have it until the end of `at_work`, or until it `rests`."""
        if self.place is None:
            self.place = self._room.take(self)
            self.places = (self.place,)
        return self.place

    def rests(self) -> None:
        """Keep nobody from anything while it waits for another run."""
        self._rests, self.place = True, None
        self._room.leave(self)

    def goes_on(self) -> None:
        """Go on, if it rested."""
        if self._rests:
            self._rests = False
            self._room.enter(self)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have a place meanwhile; it may take a while to get it."""
        self.where, began = self.take().name, time.monotonic()
        try:
            yield
        finally:
            self.place, self.seconds = None, time.monotonic() - began
            self._room.give_back(self)
