"""Several who promote at once: in one clone a lock lets one through and the others know; between
clones git does.

``MMDET_JETSON_TEST_RACES=100`` runs a hundred races in one clone instead of a few.
"""

import multiprocessing
import os
import subprocess
import threading
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from small_channels import CHANNEL, Clone

from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold_folder
from mmdet_jetson.promotion.channel_file import chain_flaws
from mmdet_jetson.promotion.channel_tags import here, overtaken
from mmdet_jetson.promotion.promoting import promote

RACES = int(os.environ.get("MMDET_JETSON_TEST_RACES", "10"))
FORK = multiprocessing.get_context("fork")


def race(clone: Clone, who: str, start: Barrier, told: Connection) -> None:
    """Promote a bundle a round, against what is in the channel when the round begins."""
    clone = Clone(clone.folder, who)
    for number in range(RACES):
        proposal = clone.proposal(f"{who}-{number}")
        start.wait()
        try:
            record = promote(clone.settings, clone.store, proposal)
            told.send((record.sequence, record.bundle, ""))
        except UserError as error:
            told.send((0, "", str(error)))
        start.wait()


def test_of_two_who_race_one_is_told(tmp_path: Path) -> None:
    clone, start = Clone(tmp_path), FORK.Barrier(2)
    for number in range(RACES):
        for who in ("ada", "bob"):
            clone.bundle(f"{who}-{number}")
    pipes = [FORK.Pipe() for _ in range(2)]
    racers = [
        FORK.Process(target=race, args=(clone, who, start, pipe[1]))
        for who, pipe in zip(("ada", "bob"), pipes, strict=True)
    ]
    for each in racers:
        each.start()
    rounds = [[pipe[0].recv() for pipe in pipes] for _ in range(RACES)]
    for each in racers:
        each.join()

    assert [each.exitcode for each in racers] == [0, 0]
    winners = list[str]()
    for number, (ada, bob) in enumerate(rounds, start=1):
        (winner,) = (each for each in (ada, bob) if each[0])
        (loser,) = (each for each in (ada, bob) if not each[0])
        assert winner[0] == number
        winners.append(winner[1])
        assert f"meanwhile record {number} (promote of " in loser[2]
    assert [each.bundle for each in clone.records] == winners
    assert [each.sequence for each in clone.records] == list(range(1, RACES + 1))
    assert chain_flaws(clone.records) == []
    tags = clone.store.tags()
    assert [tags[f"channel-staging-{number}"].digest for number in range(1, RACES + 1)] == winners
    assert all(here(clone.store, each) for each in winners)
    assert clone.store.verify().problems == ()
    won_by = {each.who for each in clone.records}
    print(f"{RACES} races: won by {sorted(won_by)}")


def test_who_waits_is_told(tmp_path: Path) -> None:
    waiting, held = threading.Event(), threading.Event()

    def hold() -> None:
        with hold_folder(tmp_path):
            held.set()
            waiting.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(10)
    with hold_folder(tmp_path, waiting.set):
        other.join(10)
    assert waiting.is_set()
    assert list(tmp_path.iterdir()) == [], "the lock leaves nothing"


def test_channels_are_promoted_while_garbage_is_collected(tmp_path: Path) -> None:
    """What is let in stays, whenever a collection comes in between."""
    clone, ended = Clone(tmp_path), threading.Event()
    for number in range(RACES):
        clone.bundle(f"v{number}")

    def collect() -> None:
        while not ended.is_set():
            Clone(tmp_path).store.gc(lambda _: True)

    other = threading.Thread(target=collect)
    other.start()
    try:
        clone.promote(*(f"v{number}" for number in range(RACES)))
    finally:
        ended.set()
        other.join()
    assert len(clone.records) == RACES
    for each in clone.records:
        assert here(clone.store, each.bundle)
        assert clone.store.find(each.verdict)


def git(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Clone, Clone]:
    """Two clones of a bare repository, of Ada and of Bob, with one record that both have."""
    bare = tmp_path / "bare"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    made = list[Clone]()
    for name in ("ada", "bob"):
        folder = tmp_path / name
        git(tmp_path, "clone", "-q", str(bare), name)
        who = name.title()
        for key, value in {
            "user.name": who,
            "user.email": f"{name}@example.com",
            "commit.gpgsign": "false",
        }.items():
            git(folder, "config", key, value)
        (folder / ".git/info/exclude").write_text("/artifacts/\n/files-*\n")
        made.append(Clone(folder, f"{who} <{name}@example.com>"))
        if name == "ada":
            git(folder, "checkout", "-q", "-b", "main")
            made[0].promote("v1")
            commit(made[0])
            git(folder, "push", "-q", "-u", "origin", "main")
    for name in ("v1", "ada", "bob"):  # as pulled from a registry
        for each in made:
            each.bundle(name)
    return made[0], made[1]


def commit(clone: Clone) -> None:
    git(clone.folder, "add", "channels")
    git(clone.folder, "commit", "-q", "-m", f"Promote {clone.records[-1].name}")


@pytest.mark.parametrize("way", ["merge", "rebase"])
def test_between_clones_git_tells_who_was_later(clones: tuple[Clone, Clone], way: str) -> None:
    ada, bob = clones
    ada.promote("ada")
    bob.promote("bob")
    commit(ada)
    commit(bob)
    git(bob.folder, "push", "-q")

    said = git(ada.folder, "push", "-q", code=1)

    assert "rejected" in said
    git(ada.folder, "pull", "-q", "--rebase" if way == "rebase" else "--no-rebase", code=1)
    with pytest.raises(UserError) as refused:
        _ = ada.records
    assert "record 2 (promote of ada, Ada <ada@example.com>" in refused.value.message
    assert " here, record 2 (promote of bob, Bob <bob@example.com>" in refused.value.message
    typed = refused.value.hint.partition(": ")[2].replace(", then ", " && ")
    typed = typed.replace("git commit", "git commit --no-edit")
    subprocess.run(["sh", "-ec", typed], cwd=ada.folder, check=True, capture_output=True)
    (sentence,) = overtaken(ada.store, CHANNEL, ada.records)
    assert sentence.startswith("meanwhile record 2 (promote of bob by Bob <bob@example.com>, ")
    assert (
        f"record 2 of here, with bundle {ada.bundle('ada').digest[7:19]}, is not in it" in sentence
    )

    record = ada.promote("ada")

    assert (record.sequence, record.previous) == (3, bob.records[-1].digest)
    assert [each.name for each in ada.records] == ["v1", "bob", "ada"]
    assert chain_flaws(ada.records) == []
    assert ada.tags() == {
        "channel-staging": "ada",
        "channel-staging-1": "v1",
        "channel-staging-2": "bob",
        "channel-staging-3": "ada",
    }
    commit(ada)
    git(ada.folder, "push", "-q")
    git(bob.folder, "pull", "-q")
    assert bob.records == ada.records


def test_a_promotion_that_was_taken_back_by_git_can_be_made_again(
    clones: tuple[Clone, Clone],
) -> None:
    ada, _ = clones
    lost = ada.promote("ada").bundle
    ada.store.untag("ada")  # from here on, the channel's tags are all that it is called
    git(ada.folder, "checkout", "-q", "--", "channels")

    (sentence,) = overtaken(ada.store, CHANNEL, ada.records)

    assert sentence.startswith("record 2 of here, with bundle ")
    assert sentence.endswith("was taken back")
    ada.promote("bob")
    assert [each.name for each in ada.records] == ["v1", "bob"]
    ada.store.gc(lambda _: True)
    assert here(ada.store, lost), "what came to nothing is not lost"


def test_what_was_pushed_cannot_be_taken_out(clones: tuple[Clone, Clone]) -> None:
    ada, _ = clones
    ada.promote("ada")
    commit(ada)
    git(ada.folder, "push", "-q")
    whole = ada.path.read_text()
    ada.path.write_text(whole[: whole.rindex("\n[[record]]")])
    for state in ("edited", "committed"):
        if state == "committed":
            commit(ada)
        with pytest.raises(UserError, match="record 2 was removed: git has it"):
            ada.promote("bob")
        with pytest.raises(UserError, match="record 2 was removed: git has it"):
            ada.rollback()


def test_a_file_that_is_gone_is_told_of_by_what_the_hint_says(clones: tuple[Clone, Clone]) -> None:
    ada, _ = clones
    seen = ada.records
    ada.path.unlink()
    with pytest.raises(UserError, match="record 1 was removed: git has it") as refused:
        promote(ada.settings, ada.store, ada.proposal("ada"))
    words = refused.value.hint.partition(": ")[2].split()
    assert words[:4] == ["git", "log", "-p", "--"]
    assert seen[0].digest in git(ada.folder, *words[1:])
