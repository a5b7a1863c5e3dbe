"""Transfers that break off, are killed or cancelled, or run beside each other."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folder_places import Bad, pull_from, push_to, short
from small_artifacts import found
from small_runs import Run, is_clean, manifests

import mmdet_jetson
from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.moving import Quiet
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.store import Descriptor, Store


def test_a_pull_goes_on_where_it_stopped(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    place = Bad(folder)
    place.change = short
    with pytest.raises(PlaceError):
        pull(place, ["mugs"], second)
    before, place.change = place.served, lambda blocks: blocks
    moved = pull(place, ["mugs"], second)

    assert moved.sent == place.served - before < moved.size - (1 << 20) + 1
    assert place.served <= moved.size + 3 * (1 << 20)
    assert is_clean(second)


def test_what_arrived_wrong_is_read_again(run: Run, folder: Path, second: Store) -> None:
    """As after a power cut, which may leave zeros in a file that was not synced."""
    push_to(run, folder, "mugs")
    digest = run.made["train"].layers[0].blob.digest
    (second.root / ".partial").mkdir(parents=True)
    (second.root / ".partial" / digest[7:]).write_bytes(bytes(5000))
    pull_from(folder, second, "mugs")
    assert is_clean(second)
    assert found(second, "mugs.train")


def test_leftovers_are_collected(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    place = Bad(folder)
    place.change = short
    with pytest.raises(PlaceError):
        pull(place, ["mugs"], second)
    left = sum(path.stat().st_size for path in second.root.glob(".partial/*"))
    assert left >= 1 << 20
    assert second.verify().problems == ()
    assert second.gc(lambda _: True, dry_run=True).size == left
    assert second.gc(lambda _: True).size == left
    assert not list(second.root.glob(".partial/*"))


MOVER = """
import sys
from pathlib import Path
from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Store

what, store, folder = sys.argv[1], Store(Path(sys.argv[2])), Path(sys.argv[3])
print("ready", flush=True)
with open_folder("oci:folder", folder, writing=what == "push") as place:
    if what == "push":
        push(store, ["mugs"], place)
    else:
        pull(place, ["mugs"], store)
"""


def start_mover(
    what: str, store: Path, folder: Path, stdout: int | None = None
) -> "subprocess.Popen[bytes]":
    source = str(Path(mmdet_jetson.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", MOVER, what, str(store), str(folder)],
        stdout=stdout,
        env=os.environ | {"PYTHONPATH": source},
    )


def kill_one(what: str, store: Path, folder: Path, seconds: float) -> int:
    with start_mover(what, store, folder, subprocess.PIPE) as mover:
        assert mover.stdout
        assert mover.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        mover.send_signal(signal.SIGKILL)
    return mover.returncode


@pytest.mark.parametrize("what", ["push", "pull"])
def test_killed_at_many_moments(what: str, run: Run, folder: Path, second: Store) -> None:
    rng = random.Random(0)
    for number in range(15):
        run.make(
            f"more-{number}",
            {f"{n}": rng.randbytes(20_000) for n in range(9)},
            f"mugs.more-{number}",
        )
    if what == "pull":
        push_to(run, folder, "mugs")
    store, target = (run.store, Store(folder)) if what == "push" else (second, second)
    longest, killed = 0.4, 0
    for _ in range(40):  # as many as it takes: machines are of different speed
        ending = kill_one(what, store.root, folder, rng.uniform(0, longest))
        assert ending in (0, -signal.SIGKILL)  # no mover trips over what one before it left
        if target.exists():
            assert target.verify().problems == ()
            assert all(target.find(tag) for tag in target.tags())
        killed += ending == -signal.SIGKILL
        if killed == 4:
            break
        if ending == 0:  # it was done by then
            longest *= 0.7
            shutil.rmtree(target.root)
    assert killed == 4
    push_to(run, folder, "mugs")
    pull_from(folder, second, "mugs")
    assert is_clean(second)
    assert is_clean(Store(folder))
    assert manifests(second) == manifests(run.store)
    assert not list(folder.glob(".partial*")) + list(second.root.glob(".partial*"))


def test_three_pulls_of_the_same_at_once(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    movers = [start_mover("pull", second.root, folder) for _ in range(3)]
    assert [mover.wait(300) for mover in movers] == [0, 0, 0]
    assert is_clean(second)
    assert manifests(second) == manifests(run.store)


class Cancelling(Quiet):
    """A user who cancels once something has gone over."""

    def moved(self, blob: Descriptor, size: int) -> None:
        raise KeyboardInterrupt


def test_a_cancelled_transfer_leaves_both_in_order(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    with (
        open_folder("oci:folder", folder, writing=False) as place,
        pytest.raises(KeyboardInterrupt),
    ):
        pull(place, ["mugs"], second, watch=Cancelling())
    assert second.tags() == {}
    assert second.verify().problems == ()
    pull_from(folder, second, "mugs")
    assert is_clean(second)
