"""What the store reads: how often, and not more than it needs of a large one; and its threads."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from small_artifacts import PROVENANCE, Put, blob_of, found
from small_runs import make_bundle

from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.layout_place import LayoutPlace
from mmdet_jetson.store import Descriptor, Store, cache_tag, listing
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import Index, Manifest, canonical_json


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each manifest was read."""
    counted: Counter[str] = Counter()
    read = Layout.manifest

    def count(layout: Layout, blob: Descriptor) -> Manifest:
        counted[blob.digest] += 1
        return read(layout, blob)

    monkeypatch.setattr(Layout, "manifest", count)
    return counted


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every parse of an index."""
    parsed: list[Path] = []
    parse = listing._parsed

    def count(path: Path) -> Index:
        parsed.append(path)
        return parse(path)

    monkeypatch.setattr(listing, "_parsed", count)
    return parsed


def test_who_writes_the_index_does_not_parse_it_again(
    store: Store, put: Put, parses: list[Path]
) -> None:
    for number in range(5):
        artifact = put(f"{number}", f"tag-{number}", cache_tag(str(number)))
        store.tag(artifact, "newest")
        assert store.find("newest") == artifact
        assert store.find(artifact.digest) == artifact

    assert len(parses) <= 1
    assert Store(store.root).tags() == store.tags()
    assert len(parses) <= 2


def test_a_tag_and_a_digest_are_found_without_reading_others(
    store: Store, put: Put, reads: Counter[str]
) -> None:
    artifacts = [put(f"{number}", f"tag-{number}") for number in range(20)]
    fresh = Store(store.root)

    assert fresh.find("tag-7") == artifacts[7]
    assert fresh.find(artifacts[8].digest) == artifacts[8]
    assert fresh.find(artifacts[9].digest[7:]) == artifacts[9]
    assert fresh.find(artifacts[10].digest[7:19]) == artifacts[10]

    assert reads == {each.digest: 1 for each in artifacts[7:11]}


def test_parts_of_bundles_that_the_index_does_not_list_are_found(store: Store, put: Put) -> None:
    part = put("part", "part")
    bundle = make_bundle(store, [part], "release")
    store.untag("part")
    fresh = Store(store.root)

    assert part.digest not in {entry.digest for entry in Layout(store.root).index().manifests}
    assert fresh.find(part.digest) == part
    blob = blob_of(store, bundle.digest)
    content = blob.read_bytes()
    blob.unlink()
    damaged = Store(store.root)
    assert damaged.find(part.digest) is None
    blob.write_bytes(content)
    assert damaged.find(part.digest) == part  # nothing was kept of the bundle that was damaged


def test_a_collection_reads_each_manifest_once(store: Store, put: Put, reads: Counter[str]) -> None:
    subject = put("subject", "name", "other-name", cache_tag("k"))
    for number in range(10):
        put(f"referrer {number}", cache_tag(f"r{number}"), subject=subject.descriptor)
        put(f"unnamed {number}", subject=subject.descriptor)
    make_bundle(store, [subject], "release")
    reads.clear()

    freed = store.gc(lambda tag: not tag.startswith("cache.r"), dry_run=True)

    assert len(freed.tags) == 10
    assert len(reads) == 22
    assert set(reads.values()) == {1}


def test_unnamed_referrers_of_referrers_stay_in_a_chain(store: Store, put: Put) -> None:
    last = put("0", "name")
    for number in range(1, 30):
        last = put(f"{number}", subject=last.descriptor)

    store.gc(lambda _: True)
    assert found(store, last.digest)
    store.untag("name")
    freed = store.gc(lambda _: True)

    assert store.tags() == {}
    assert store.find(last.digest) is None
    assert freed.blobs == 30 * 2 + 30


def test_an_entry_twice_under_one_tag_stays_twice(store: Store, put: Put) -> None:
    """``verify`` says so, and ``gc`` is not to decide which of them counts."""
    put("one", "a")
    path = store.root / "index.json"
    index = msgspec.json.decode(path.read_bytes(), type=Index)
    path.write_bytes(canonical_json(msgspec.structs.replace(index, manifests=index.manifests * 2)))

    Store(store.root).gc(lambda _: True)

    assert len(Layout(store.root).index().manifests) == 2
    assert [each.what for each in store.verify().problems] == ["it names two manifests"]


def test_what_the_index_lists_is_found_without_reading_the_others(
    store: Store, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push of one result to a registry would read all manifests of the store otherwise."""
    for number in range(20):
        put(f"{number}", f"tag-{number}")
    read: list[Descriptor] = []
    parsed = LayoutPlace._parsed

    def count(place: LayoutPlace, found: Descriptor) -> Manifest:
        read.append(found)
        return parsed(place, found)

    monkeypatch.setattr(LayoutPlace, "_parsed", count)
    with open_folder("the store", store.root, writing=False) as folder:
        named = folder.resolve("tag-19")
        assert named
        assert folder.resolve(named.digest) == named
        assert folder.manifest(named.digest)
        assert read == []
        assert folder.resolve("sha256:" + "0" * 64) is None
        assert len(read) == 20


def test_threads_share_one_store(store: Store, tmp_path: Path) -> None:
    """Each adds artifacts, moves tags and looks; no write is lost and nothing is torn."""

    def work(thread: int) -> None:
        for number in range(8):
            folder = tmp_path / f"{thread}-{number}"
            folder.mkdir()
            (folder / "engine.onnx").write_text(f"{thread} {number}")
            key = f"{thread}-{number}"
            made = msgspec.structs.replace(PROVENANCE, key=key)
            artifact = store.put("engine", folder, made, [cache_tag(key)])
            store.tag(artifact, f"thread-{thread}", "newest")
            assert store.find(cache_tag(key)) == artifact
            assert found(store, f"thread-{thread}") == artifact
            assert artifact in store.artifacts()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))

    assert len(store.tags()) == 6 * 8 + 6 + 1
    assert store.tags() == Store(store.root).tags()
    assert store.verify().problems == ()
