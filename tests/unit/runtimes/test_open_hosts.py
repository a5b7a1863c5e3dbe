"""Which Docker host has which target, as a configuration says."""

import threading

import pytest
from fakes import FakeRuntime, everywhere

from mmdet_jetson.config.hosts import Host
from mmdet_jetson.containers.objects import ConnectionLost
from mmdet_jetson.errors import UserError
from mmdet_jetson.runtimes.hosts import open_hosts
from mmdet_jetson.runtimes.protocol import Place, Runtimes
from mmdet_jetson.runtimes.selection import RuntimeOptions

HOSTS = {
    "one": Host(address="ssh://one", targets=("orin",), jobs=3),
    "two": Host(address="ssh://two", targets=("orin", "nano")),
    "idle": Host(address="ssh://idle", targets=("tx2",)),
}


class Opened:
    """Opens runtimes, but for those that do not answer."""

    def __init__(self, *silent: str) -> None:
        self.silent = silent
        self.asked = list[RuntimeOptions]()
        self.said = list[str]()
        self.here = everywhere(FakeRuntime())

    def open_with(self, options: RuntimeOptions) -> FakeRuntime:
        self.asked.append(options)
        if options.name in self.silent:
            raise ConnectionLost(f"{options.docker_host} does not answer", "check the cable")
        runtime = FakeRuntime()
        runtime.place = Place(options.name, options.docker_host, options.jobs)
        return runtime

    def open(self, *targets: str, options: RuntimeOptions | None = None) -> Runtimes:
        told = options or RuntimeOptions(untested=True)
        return open_hosts(self.here, HOSTS, targets, told, self.open_with, say=self.said.append)

    def hosts_of(self, target: str, *targets: str) -> list[str]:
        every = self.open(*(targets or (target,))).every_of_target(target)
        return [each.place.name for each in every]


def test_each_target_has_its_hosts_and_the_others_stay_where_they_were() -> None:
    assert Opened().hosts_of("orin", "pc", "orin", "nano") == ["one", "two"]
    assert Opened().hosts_of("nano", "pc", "orin", "nano") == ["two"]
    assert Opened().hosts_of("pc", "pc", "orin", "nano") == ["here"]


def test_only_hosts_of_targets_in_use_are_asked() -> None:
    opened = Opened()
    opened.open("pc", "nano")
    (options,) = opened.asked
    assert options == RuntimeOptions("docker", "ssh://two", untested=True, name="two")
    opened.asked.clear()
    opened.open("pc")
    assert opened.asked == []


def test_all_are_asked_at_once() -> None:
    opened, together = Opened(), threading.Barrier(2)
    answer = opened.open_with

    def open_with(options: RuntimeOptions) -> FakeRuntime:
        together.wait(20)
        return answer(options)

    opened.open_with = open_with  # type: ignore[method-assign]
    assert opened.hosts_of("orin") == ["one", "two"]


def test_a_host_that_does_not_answer_is_left_out_where_another_has_its_target() -> None:
    opened = Opened("one")
    assert opened.hosts_of("orin") == ["two"]
    assert opened.said == ["warning: hosts.one is left out: ssh://one does not answer"]


def test_a_target_without_a_host_that_answers_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        Opened("two").open("pc", "nano", "orin")
    assert str(caught.value) == (
        "hosts.two: ssh://two does not answer\n"
        "  try: check the cable; without its targets: --target pc"
    )
