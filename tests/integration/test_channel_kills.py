"""A command that changes a channel is killed at any moment: the channel is as before, or as after.

``MMDET_JETSON_TEST_KILLS=70`` tries 70 moments of each command instead of a few.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import BROAD, our_commands
from invoke.program import Program
from small_channels import CHANNEL, Clone, judged

from mmdet_jetson.promotion import judging
from mmdet_jetson.promotion.channel_file import chain_flaws
from mmdet_jetson.promotion.channel_tags import here, refuse_flawed, tags_in
from mmdet_jetson.promotion.keeping import read_verdict
from mmdet_jetson.promotion.overriding import uncovered

MOMENTS = int(os.environ.get("MMDET_JETSON_TEST_KILLS", "3"))
Act = Callable[[], int]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    clone = Clone(tmp_path)
    monkeypatch.setattr(judging, "GATES", {"size": lambda _: iter([judged("size")])})
    for name, value in {
        "MMDET_JETSON_ARTIFACTS": str(clone.store.root),
        "MMDET_JETSON_CHANNELS": str(clone.path.parent),
        "COLUMNS": str(BROAD),
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
    }.items():
        monkeypatch.setenv(name, value)
    clone.promote("v1", "v2")
    return clone


def typed(*words: str) -> int:
    """Run a command in this process, which says nothing; its exit code."""
    try:
        Program(namespace=our_commands()).run(["invoke", *words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def forked(act: Act) -> int:
    """Begin an act in a process of its own, which has everything loaded already."""
    process = os.fork()
    if process:
        return process
    code = 1
    with contextlib.suppress(BaseException):
        silent = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silent, stream)
        code = act()
    os._exit(code)


def seconds_of(*words: str) -> float:
    """How long a command takes in a process that has everything loaded."""
    assert typed("--list") == 0
    began = time.monotonic()
    assert os.waitpid(forked(lambda: typed(*words)), 0)[1] == 0
    return time.monotonic() - began


def killed_after(act: Act, seconds: float) -> bool:
    """Kill an act; whether that came before its end."""
    process = forked(act)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def assert_sound(clone: Clone) -> None:
    """No half record, and none whose bundle or verdict is missing, or that proves nothing."""
    records, store = clone.records, clone.store
    assert chain_flaws(records) == []
    refuse_flawed(store, clone.path, CHANNEL, records)
    for each in records:
        assert here(store, each.bundle), each
        verdict = read_verdict(store, each.verdict)
        assert verdict, each
        assert verdict.bundle == each.bundle
        assert verdict.gates
        assert uncovered(verdict, each.overrides) == []
    tags = tags_in(store, CHANNEL)
    assert {number: tags.get(number) for number in (each.sequence for each in records)} == {
        each.sequence: each.bundle for each in records
    }
    assert all(here(store, bundle) for bundle in tags.values())
    assert tags[0] in {each.bundle for each in records[-2:]}
    assert store.verify().problems == ()


def words_of(what: str, clone: Clone, number: int) -> tuple[str, ...]:
    if what == "promote":
        return (
            "promote",
            f"w{number}",
            "--to",
            CHANNEL,
            "--config",
            "configs/demo.toml",
            "--release",
        )
    return ("rollback", CHANNEL, "--to", "1" if clone.records[-1].name != "v1" else "2")


@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_killed_command_leaves_the_channel_whole(clone: Clone, what: str) -> None:
    chance, cut, done = random.Random(what), 0, 0
    clone.bundle("w0")
    seconds = seconds_of(*words_of(what, clone, 0))
    for number in range(1, MOMENTS + 1):
        clone.bundle(f"w{number}")
        before, words = clone.records, words_of(what, clone, number)

        cut += killed_after(lambda words=words: typed(*words), chance.uniform(0, seconds))  # type: ignore[misc]

        assert clone.records[: len(before)] == before
        assert len(clone.records) <= len(before) + 1
        done += len(clone.records) > len(before)
        assert_sound(clone)
        assert typed(*words_of(what, clone, number)) == 0
        assert_sound(clone)
        assert not list(clone.path.parent.glob(".*"))
    print(
        f"{what}: {MOMENTS} moments in {seconds:.2f} s, {cut} killed before the end, {done} with a record"
    )
    assert cut or MOMENTS < 10


def test_a_killed_collection_leaves_the_channel_whole(clone: Clone) -> None:
    chance, cut = random.Random("gc"), 0
    for number in range(MOMENTS + 1):
        garbage = clone.bundle(f"g{number}")
        clone.store.untag(f"g{number}")
        words = ("gc", "--days", "0")
        if number == 0:
            seconds = seconds_of(*words)
            continue
        cut += killed_after(lambda words=words: typed(*words), chance.uniform(0, seconds))  # type: ignore[misc]
        assert_sound(clone)
        assert typed(*words) == 0
        assert_sound(clone)
        assert clone.store.bundle(garbage.digest) is None
    print(f"gc: {MOMENTS} moments in {seconds:.2f} s, {cut} killed before the end")
    assert cut or MOMENTS < 10


@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_command_dies_before_each_change_of_the_disk(clone: Clone, what: str) -> None:
    """Not at random: before every rename, sync, removal and new file, one after the other."""
    number = 0
    while True:
        number += 1
        clone.bundle(f"w{number}")
        before, words = clone.records, words_of(what, clone, number)

        def act(words: tuple[str, ...] = words, number: int = number) -> int:
            die_at(number)
            return typed(*words)

        _, status = os.waitpid(forked(act), 0)
        assert clone.records[: len(before)] == before
        assert_sound(clone)
        if not os.WIFSIGNALED(status):
            break
        assert typed(*words_of(what, clone, number)) == 0
        assert_sound(clone)
    print(f"{what}: {number - 1} changes of the disk, killed before each")
    assert number > 10
    assert len(clone.records) == len(before) + 1


def die_at(number: int) -> None:
    """Kill this process before its change of the disk of that number."""
    left = [number]
    for name in ("rename", "replace", "fsync", "unlink", "remove", "mkdir", "rmdir", "chmod"):
        setattr(os, name, dying(getattr(os, name), left))


def dying(change: Callable[..., object], left: list[int]) -> Callable[..., object]:
    def changed(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*arguments, **options)

    return changed
