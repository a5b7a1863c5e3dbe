"""Steps in threads: order, ends, errors, and letting go."""

import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from mmdet_jetson.stages.engines.threads import Ahead, Behind, Channel, in_order


def counting(until: int, closed: "list[int] | None" = None) -> Iterator[int]:
    try:
        yield from range(until)
    finally:
        if closed is not None:
            closed.append(threading.get_ident())


def test_all_items_come_in_order() -> None:
    assert list(Ahead(counting(500), room=2)) == list(range(500))


def test_no_more_than_there_is_room_for_are_made_ahead() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    ahead = Ahead(map(make, range(100)), room=3)
    time.sleep(0.2)

    assert len(made) == 4  # three wait, and one is in the hand
    assert list(ahead) == list(range(100))


def test_an_error_comes_behind_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield from (0, 1)
        raise KeyError("broken")

    taken: list[int] = []
    with pytest.raises(KeyError, match="broken"):
        taken.extend(Ahead(failing(), room=5))
    assert taken == [0, 1]


def test_the_newest_takes_the_place_of_those_that_wait() -> None:
    channel: Channel[int] = Channel(2, newest=lambda: True)
    assert all(channel.put(number) for number in range(10))
    channel.end()

    assert list(channel) == [9]
    assert channel.dropped == 9


def test_who_lets_go_closes_what_is_read_on_the_thread_that_reads() -> None:
    closed: list[int] = []
    ahead = Ahead(counting(10**9, closed), room=1)
    assert next(iter(ahead)) == 0

    ahead.channel.stop()
    ahead.thread.join(5)

    assert closed == [ahead.thread.ident]
    assert list(ahead) == []


def test_what_is_behind_has_it_all_before_it_is_finished() -> None:
    seen: list[int] = []

    def slowly(items: Iterable[int]) -> None:
        for item in items:
            time.sleep(0.001)
            seen.append(item)

    behind = Behind(slowly, room=2)
    for number in range(50):
        behind.put(number)
    behind.finish()

    assert seen == list(range(50))


def test_who_puts_learns_what_failed_behind_and_never_waits_for_it() -> None:
    def failing(items: Iterable[int]) -> None:
        for item in items:
            if item == 3:
                raise OSError("disk")

    behind = Behind(failing, room=1)

    def put_for_ever() -> None:
        for number in range(10**6):
            behind.put(number)

    with pytest.raises(OSError, match="disk"):
        put_for_ever()
    with pytest.raises(OSError, match="disk"):
        behind.finish()


def test_several_threads_keep_the_order_and_are_no_further_ahead_than_they_are_many() -> None:
    began: list[int] = []

    def work(number: int) -> int:
        began.append(number)
        time.sleep(0.02 if number % 2 else 0)
        return number

    results = in_order(work, range(20), workers=3)
    assert next(results) == 0
    assert len(began) <= 4
    assert list(results) == list(range(1, 20))
