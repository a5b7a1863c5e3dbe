"""Writers that are killed, and writers at the same time."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_artifacts import Put, Tree, found

import mmdet_jetson
from mmdet_jetson.store import Provenance, Store

ENTRIES = {".lock", ".in-use.lock", ".tmp", "blobs", "index.json", "oci-layout"}
WRITER = """
import sys
from pathlib import Path
from mmdet_jetson.store import Provenance, Store

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
store = Store(root)
print("ready", flush=True)
for number in range(10_000):
    (folder / "number").write_text(f"{sys.argv[3]} {number}")
    made = Provenance(stage="train", step="train", created="2024-05-01T10:00:00Z", key=str(number))
    artifact = store.put("dataset", folder, made, [f"cache.{sys.argv[3]}.{number}", "latest"])
    store.tag(artifact, "run")
    if number % 5 == 4:
        store.gc(lambda tag: tag == "latest")
"""


def test_killed_twenty_times(
    tmp_path: Path, dataset: Path, provenance: Provenance, store: Store, tree: Tree
) -> None:
    rng = random.Random(0)
    source = str(Path(mmdet_jetson.__file__).parents[1])
    for round_ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.root), str(dataset), str(round_)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": source},
        ) as writer:
            assert writer.stdout
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.12))
            writer.send_signal(signal.SIGKILL)
        survivor = Store(store.root)
        assert survivor.verify().problems == (), round_
        assert all(survivor.find(tag) for tag in survivor.tags())
        # What this writer left, and one that died before it while it made the store.
        assert len(list(store.root.glob(".tmp/*"))) <= 2
        assert {path.name for path in store.root.iterdir()} <= ENTRIES

    artifact = store.put("dataset", dataset, provenance, ["end"])
    assert not any((store.root / ".tmp").iterdir())
    store.gc(lambda tag: tag == "end")
    assert store.verify().unreferenced == 0
    store.checkout(artifact, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(dataset)
    assert {path.name for path in store.root.iterdir()} == ENTRIES


def _put_many(root: Path, folder: Path, provenance: Provenance, name: str) -> None:
    store = Store(root)
    for number in range(10):
        store.put("dataset", folder, provenance, [f"{name}.{number}", "same"])
        store.gc(lambda _: True)


def test_the_same_content_from_many_processes(
    store: Store, dataset: Path, provenance: Provenance, tmp_path: Path, tree: Tree
) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_put_many, args=(store.root, dataset, provenance, name))
        for name in "abc"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(store.tags()) == 31
    assert len({entry.digest for entry in store.tags().values()}) == 1
    seen = store.verify()
    assert (seen.problems, seen.unreferenced) == ((), 0)
    store.checkout(found(store, "same"), tmp_path / "out")
    assert tree(tmp_path / "out") == tree(dataset)


@pytest.mark.parametrize("kill_at", ["blob", "blobs-synced", "index"])
def test_killed_between_the_renames(
    store: Store, put: Put, dataset: Path, provenance: Provenance, kill_at: str
) -> None:
    """The moments a random kill hardly hits."""
    artifact = put("one", "a")
    process = multiprocessing.get_context("fork").Process(
        target=_put_and_die, args=(store.root, dataset, provenance, kill_at)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL

    survivor = Store(store.root)

    assert survivor.verify().problems == ()
    assert survivor.find("a") == artifact
    assert bool(survivor.find("b")) == (kill_at == "index")
    assert (survivor.verify().unreferenced > 0) == (kill_at != "index")
    survivor.put("dataset", dataset, provenance, ["b"])
    assert survivor.find("b")
    assert survivor.verify().unreferenced == 0
    assert not any((store.root / ".tmp").iterdir())


def _put_and_die(root: Path, folder: Path, provenance: Provenance, kill_at: str) -> None:
    rename = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target.name == "index.json" and kill_at == "blobs-synced":
            os.kill(os.getpid(), signal.SIGKILL)
        done = rename(self, target)
        if kill_at == ("index" if target.name == "index.json" else "blob"):
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    Path.replace = replace  # type: ignore[method-assign, assignment]
    Store(root).put("dataset", folder, provenance, ["b"])
