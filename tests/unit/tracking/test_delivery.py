"""What is told to a server: in order, again where it failed, and never waited for."""

import threading
import time
from functools import partial

from mmdet_jetson.tracking.delivery import Delivery


def test_jobs_are_done_in_order() -> None:
    done: list[int] = []
    delivery = Delivery(lambda _: None)
    for number in range(50):
        delivery.add(partial(done.append, number))

    assert delivery.close(5) == 0
    assert done == list(range(50))


def test_one_that_failed_is_done_again_and_nothing_is_lost() -> None:
    done, failures = list[str](), list[Exception]()
    tries = iter([ConnectionError("down"), ConnectionError("down"), None])

    def first() -> None:
        if error := next(tries):
            raise error
        done.append("first")

    delivery = Delivery(failures.append, again_after=0.01)
    delivery.add(first)
    delivery.add(lambda: done.append("second"))
    while len(done) < 2:
        time.sleep(0.001)

    assert (delivery.close(5), done) == (0, ["first", "second"])
    assert [str(each) for each in failures] == ["down"], "it is told of the first one alone"


def test_the_end_does_not_wait_for_a_server_that_is_down() -> None:
    def fails() -> None:
        raise ConnectionError("down")

    delivery = Delivery(lambda _: None, again_after=3600)
    for _ in range(3):
        delivery.add(fails)
    began = time.monotonic()

    assert delivery.close(60) == 3
    assert time.monotonic() - began < 30


def test_neither_does_it_for_one_that_hangs() -> None:
    hangs = threading.Event()
    delivery = Delivery(lambda _: None)
    delivery.add(hangs.wait)

    assert delivery.close(0.05) == 1
    hangs.set()
