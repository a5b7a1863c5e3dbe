"""Who may be at work beside whom."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from mmdet_jetson.running.room import Room, Turn, Withdrawn
from mmdet_jetson.runtimes.protocol import Place

HERE = Place()
ORIN, NANO = Place("orin", "ssh://orin"), Place("nano", "ssh://nano")


class Site:
    """Threads that are at work until they are told to end, and who of them is."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.at_work = dict[str, Place]()
        self.order = list[str]()
        self.withdrawn = list[str]()
        self._end = dict[str, threading.Event]()
        self._threads = list[threading.Thread]()

    def begin(
        self, name: str, *places: Place, times: bool = False, rank: Sequence[int] = ()
    ) -> None:
        turn = self.room.turn(places or (HERE,), tuple(rank), times=times)
        self._end[name] = threading.Event()
        thread = threading.Thread(target=self._run, args=[name, turn], daemon=True)
        self._threads.append(thread)
        thread.start()
        deadline = time.monotonic() + 1  # for who is not even let in
        while not {*self.room._waiting, *self.room._at_work} & {turn}:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)

    def _run(self, name: str, turn: Turn) -> None:
        try:
            with turn, turn.at_work():
                assert turn.place
                self.at_work[name] = turn.place
                self.order.append(name)
                self._end[name].wait(20)
                del self.at_work[name]
        except Withdrawn:
            self.withdrawn.append(name)

    def end(self, name: str) -> None:
        self._end[name].set()

    def soon(self, holds: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 5
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.01)
        return holds()

    def becomes(self, *names: str) -> bool:
        """Whether soon these are at work, and stay alone so."""
        came = self.soon(lambda: set(self.at_work) == set(names))
        time.sleep(0.1)
        return came and set(self.at_work) == set(names)

    def close(self) -> None:
        for event in self._end.values():
            event.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


@contextmanager
def site(jobs: int | None = None) -> Iterator[Site]:
    made = Site(Room(jobs))
    try:
        yield made
    finally:
        made.room.close()
        made.close()


def test_a_machine_bears_one_step_and_another_machine_another_one() -> None:
    with site() as at:
        for name, place in (("train", HERE), ("export", HERE), ("engine", ORIN), ("more", NANO)):
            at.begin(name, place)
        assert at.becomes("train", "engine", "more")
        at.end("train")
        assert at.becomes("export", "engine", "more")


def test_jobs_raise_and_limit() -> None:
    with site(jobs=2) as at:
        for name in ("a", "b", "c"):
            at.begin(name)
        assert at.becomes("a", "b")
    with site(jobs=1) as at:
        at.begin("a")
        at.begin("b", ORIN)
        assert at.becomes("a")


def test_a_host_runs_as_many_as_its_configuration_says() -> None:
    twice = Place("orin", "ssh://orin", jobs=2)
    with site() as at:
        for name in ("a", "b", "c"):
            at.begin(name, twice)
        assert at.becomes("a", "b")


@pytest.mark.parametrize("place", [HERE, ORIN])
def test_what_is_timed_has_its_machine_alone(place: Place) -> None:
    with site(jobs=4) as at:
        at.begin("engine", place)
        at.begin("profile", place, times=True)
        assert at.becomes("engine")
        at.end("engine")
        assert at.becomes("profile")
        at.begin("evaluate", place)
        assert at.becomes("profile")
        at.end("profile")
        assert at.becomes("evaluate")


def test_two_docker_hosts_of_one_machine_are_one_machine() -> None:
    podman = Place("podman", HERE.machine)
    with site() as at:
        at.begin("profile", podman, times=True)
        at.begin("train")
        assert at.becomes("profile")


def test_timing_on_another_machine_disturbs_nobody_here() -> None:
    with site() as at:
        at.begin("profile", ORIN, times=True)
        at.begin("train")
        assert at.becomes("profile", "train")


def test_while_something_is_timed_here_nothing_is_sent_to_other_machines() -> None:
    """Packing and sending is work of this machine."""
    with site() as at:
        at.begin("profile", times=True)
        at.begin("engine", ORIN)
        assert at.becomes("profile")
        at.end("profile")
        assert at.becomes("engine")


def test_what_is_timed_here_waits_until_nobody_does_anything() -> None:
    """Also for who only looks things up, which may digest gigabytes."""
    with site() as at:
        looks = at.room.turn([ORIN])
        with looks:
            at.begin("profile", times=True)
            assert at.becomes()
            looks.rests()  # as it waits for another run
            assert at.becomes("profile")
            at.end("profile")
            looks.goes_on()
            at.begin("another", times=True)
            assert at.becomes()
        assert at.becomes("another")


def test_of_several_hosts_the_first_that_is_free_is_taken() -> None:
    with site() as at:
        at.begin("a", ORIN, NANO)
        at.begin("b", ORIN, NANO)
        at.begin("c", ORIN, NANO)
        assert at.becomes("a", "b")
        assert (at.at_work["a"], at.at_work["b"]) == (ORIN, NANO)
        at.end("b")
        assert at.becomes("a", "c")
        assert at.at_work["c"] == NANO


def test_the_lowest_rank_comes_first_and_timing_last() -> None:
    with site() as at:
        at.begin("now")
        at.begin("profile", times=True, rank=[0])
        at.begin("second", rank=[2])
        at.begin("first", rank=[1])
        for name in ("now", "first", "second", "profile"):
            assert at.becomes(name)
            at.end(name)


def test_who_need_not_start_any_more_does_not() -> None:
    with site() as at:
        at.begin("a")
        at.begin("b")
        at.room.close()
        assert at.soon(lambda: at.withdrawn == ["b"])
        assert at.becomes("a")
