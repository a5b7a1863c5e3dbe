import os
import threading
from pathlib import Path

import pytest
from small_artifacts import Put, Tree, add_blob, blob_of, found

from mmdet_jetson.store import Provenance, Store
from mmdet_jetson.store.oci import digest_of


def nothing(_: str) -> bool:
    return False


def everything(_: str) -> bool:
    return True


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs/sha256").iterdir()}


def test_a_refused_tag_goes_with_its_blobs(store: Store, put: Put) -> None:
    put("old", "cache.old")
    put("new", "cache.new")

    freed = store.gc(lambda tag: tag == "cache.new")

    assert freed.tags == ("cache.old",)
    assert (store.find("cache.old"), bool(store.find("cache.new"))) == (None, True)
    # Both have the same provenance, but the config also lists the layers: nothing is shared.
    assert freed.blobs == 3
    assert freed.size > len("old")
    assert len(blobs(store)) == 3


def test_a_shared_blob_stays(store: Store, put: Put) -> None:
    put("same", "a")
    kept = put("same", "b", kind="onnx")

    freed = store.gc(lambda tag: tag == "b")

    assert freed.blobs == 1
    assert store.find("b") == kept
    assert store.verify().problems == ()


def test_a_dry_run_only_says(store: Store, put: Put, tree: Tree) -> None:
    put("one", "a")
    before = tree(store.root)

    freed = store.gc(nothing, dry_run=True)

    assert tree(store.root) == before
    assert freed == store.gc(nothing)
    assert blobs(store) == set()


def test_an_artifact_that_lost_its_name_goes(store: Store, put: Put) -> None:
    put("old", "run")
    new = put("new", "run")

    freed = store.gc(everything)

    assert freed.tags == ()
    assert freed.blobs == 3
    assert store.find("run") == new


def test_a_subject_lives_as_long_as_its_named_referrer(store: Store, put: Put) -> None:
    engine = put("engine", "e")
    put("figures", "f", kind="evaluation", subject=engine.descriptor)

    freed = store.gc(lambda tag: tag == "f")

    assert freed.tags == ("e",)
    assert freed.blobs == 0
    assert found(store, "f").subject == engine.descriptor
    assert store.verify().problems == ()


def test_an_unnamed_referrer_lives_as_long_as_its_subject(store: Store, put: Put) -> None:
    engine = put("engine", "e")
    evaluation = put("figures", kind="evaluation", subject=engine.descriptor)
    put("more", kind="profile", subject=evaluation.descriptor)

    assert store.gc(everything).blobs == 0
    assert len(store.artifacts()) == 3
    assert store.gc(nothing).blobs == 9
    assert store.artifacts() == []


def test_an_unnamed_artifact_without_subject_goes(store: Store, put: Put) -> None:
    put("lost")

    assert store.gc(everything).blobs == 3


def test_a_referrer_goes_with_a_damaged_subject(store: Store, put: Put) -> None:
    engine = put("engine", "e")
    put("figures", "f", kind="evaluation", subject=engine.descriptor)
    (layer,) = engine.layers
    blob_of(store, layer.blob.digest).unlink()

    assert store.gc(everything).tags == ("e", "f")
    assert blobs(store) == set()


def test_an_image_that_someone_else_tagged_stays(store: Store, put: Put, tmp_path: Path) -> None:
    """A manifest that is not ours is kept by its tag, and its parts with it."""
    artifact = put("one", "a")
    path = blob_of(store, artifact.digest)
    content = path.read_bytes().replace(b"mmdet-jetson.engine", b"other-tool.engin")
    add_blob(store, content)
    index = store.root / "index.json"
    changed = index.read_text().replace(artifact.digest, digest_of(content))
    index.write_text(changed.replace(f'"size":{path.stat().st_size}', f'"size":{len(content)}'))

    fresh = Store(store.root)

    assert fresh.gc(everything).blobs == 1  # our manifest, no longer named
    assert fresh.artifacts() == []
    assert list(fresh.tags()) == ["a"]
    assert fresh.verify().problems == ()


def test_what_dead_writers_left_goes(store: Store, put: Put) -> None:
    put("one", "a")
    (store.root / ".tmp/dead").mkdir()
    (store.root / ".tmp/dead/0").write_bytes(bytes(1000))
    add_blob(store, bytes(500))

    freed = store.gc(everything)

    assert freed.blobs == 1
    assert freed.size == 1500
    assert not any((store.root / ".tmp").iterdir())


def test_gc_waits_for_a_writer(
    store: Store, put: Put, provenance: Provenance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("one", "a")
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    writing, go_on = threading.Event(), threading.Event()
    sync = os.fsync

    def slow(handle: int) -> None:
        if threading.current_thread() is writer:
            writing.set()
            go_on.wait(60)
        sync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    writer = threading.Thread(
        target=lambda: Store(store.root).put("engine", folder, provenance, ["b"])
    )
    writer.start()
    assert writing.wait(60)
    collector = threading.Thread(target=lambda: Store(store.root).gc(everything))
    collector.start()
    collector.join(0.3)
    assert collector.is_alive()
    go_on.set()
    writer.join(10)
    collector.join(10)

    assert store.find("b")
    assert store.verify().problems == ()
    assert store.verify().unreferenced == 0


@pytest.mark.parametrize("missing", ["oci-layout", ".tmp", ".in-use.lock"])
def test_an_incomplete_layout_is_completed(store: Store, put: Put, missing: str) -> None:
    artifact = put("one", "a")
    path: Path = store.root / missing
    path.rmdir() if path.is_dir() else path.unlink()

    assert Store(store.root).gc(everything).blobs == 0
    assert store.find("a") == artifact
    assert path.exists()
