"""A mirror in Debian's registry: two clones that fork it, and pushes of it killed at any moment.

``MMDET_JETSON_TEST_KILLS=50`` tries 50 moments instead of a few.
"""

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import TINY, Commands, new_commands
from registries import Registry, Wire, docker_registry
from small_mirrored import SmallChannel, small_channel
from test_registry_kills import REPOSITORY, assert_whole, restart, tags

from mmdet_jetson.promotion.records import is_held

MOMENTS = int(os.environ.get("MMDET_JETSON_TEST_KILLS", "3"))


@dataclass(frozen=True)
class Clone:
    """A clone with a channel, and the way from it to the mirror."""

    folder: Path
    registry: Registry
    wire: Wire
    channel: SmallChannel

    @property
    def place(self) -> str:
        return f"docker://{self.wire.host}/{REPOSITORY}"

    @property
    def commands(self) -> Commands:
        environ = {
            "MMDET_JETSON_ARTIFACTS": str(self.channel.store.root),
            "MMDET_JETSON_CHANNELS": str(self.channel.path.parent),
            "MMDET_JETSON_CACHE": str(self.folder / "cache"),
            "DOCKER_CONFIG": str(self.registry.login(self.wire.host, self.registry.host)),
        }
        return Commands(self.folder, environ)

    def push(self) -> tuple[int, str]:
        return self._run("push", "channel-staging", "--to", self.place)

    def verify(self) -> tuple[int, str]:
        return self._run("verify", "--mirror", self.place, "--config", str(self.commands.config))

    def _run(self, *words: str) -> tuple[int, str]:
        done = self.commands.run(*words, "--ca", str(self.registry.ca))
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def broken_off(self, what: str, moment: float) -> str:
        """Start a push, and kill it, or the registry, once so many bytes have passed."""
        ready, processes = threading.Event(), list[subprocess.Popen[str]]()

        def kill() -> None:
            ready.wait()
            processes[0].kill()

        self.wire.arm(moment, kill if what == "client" else lambda: restart(self.registry))
        words = ("push", "channel-staging", "--to", self.place, "--ca", str(self.registry.ca))
        processes.append(self.commands.start(*words))
        ready.set()
        said, _ = processes[0].communicate(timeout=600)
        self.wire.spare()
        assert "Traceback" not in said, said
        return str(said)


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    with docker_registry(tmp_path / "registry") as registry, Wire(registry.port).open() as wire:
        new_commands(tmp_path, TINY)
        yield Clone(tmp_path, registry, wire, small_channel(tmp_path, "v1", "v2"))


def channel_tags(registry: Registry) -> list[str]:
    return sorted(tag for tag in tags(registry) if tag.startswith("channel-"))


def test_two_clones_fork_a_mirror_and_are_told(clone: Clone) -> None:
    folder = clone.folder / "other"
    new_commands(folder, TINY)
    other = Clone(folder, clone.registry, clone.wire, small_channel(folder, "v1", "v2"))
    assert clone.push()[0] == 0
    assert other.push()[0] == 0
    clone.channel.promote("mine")
    other.channel.promote("theirs")
    assert other.push()[0] == 0
    code, said = clone.push()
    assert code == 1
    assert "channel staging has forked" in said
    assert "channel-staging-3 is bundle" in said
    code, said = clone.verify()
    assert (code, "has forked: channel-staging-3 is bundle" in said) == (1, True), said
    assert other.verify()[0] == 0


@pytest.mark.parametrize("what", ["client", "registry"])
def test_a_push_of_a_mirror_that_is_killed_leaves_it_behind_and_goes_on(
    clone: Clone, what: str
) -> None:
    chance = random.Random(f"mirror {what}")
    clone.wire.arm()
    assert clone.push()[0] == 0
    whole = clone.wire.up + clone.wire.down
    behind = 0
    for moment in range(MOMENTS):
        if moment % 2 == 0:
            clone.registry.empty()
            restart(clone.registry)
        elif chance.random() < 0.5:
            held = is_held(clone.channel.records)
            clone.channel.promote(f"more-{moment}", released=held)
        else:
            clone.channel.roll_back(chance.randrange(1, len(clone.channel.records)))
        count = len(clone.channel.records)
        said = clone.broken_off(what, chance.uniform(1, whole))
        there = channel_tags(clone.registry)
        numbered = sorted(int(tag.rpartition("-")[2]) for tag in there if tag != "channel-staging")
        assert numbered == list(range(1, len(numbered) + 1)), said
        assert "channel-staging" not in there or numbered, said
        assert_whole(clone.registry)
        code, told = clone.verify()
        assert code == 0, told
        behind += "is behind" in told
        code, said = clone.push()
        assert code == 0, said
        assert len(channel_tags(clone.registry)) == count + 1
        assert_whole(clone.registry)
        code, told = clone.verify()
        assert (code, "note" in told) == (0, False), told
    print(f"{what}: {MOMENTS} moments, {behind} of them left the mirror behind")
