from pathlib import Path

import msgspec
import pytest
from small_artifacts import Change, Put, add_blob, blob_of, newer, rewrite_manifest

from mmdet_jetson.store import Provenance, Store, oci
from mmdet_jetson.store.oci import Manifest


def test_a_sound_store(store: Store, dataset: Path, provenance: Provenance, put: Put) -> None:
    artifact = store.put("dataset", dataset, provenance, ["a", "b"])
    put("figures", kind="evaluation", subject=artifact.descriptor)
    steps: list[tuple[int, int]] = []

    seen = store.verify(lambda step, total: steps.append((step, total)))

    assert seen.problems == ()
    assert seen.unreferenced == 0
    assert seen.blobs == len(artifact.layers) + 2 + 3
    assert steps[-1] == (seen.size, seen.size)


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_every_blob_is_read(store: Store, dataset: Path, provenance: Provenance, how: str) -> None:
    """Damage each blob in turn: the manifest, the config, every layer."""
    store.put("dataset", dataset, provenance, ["a"])
    for path in sorted((store.root / "blobs/sha256").iterdir()):
        content = path.read_bytes()
        path.chmod(0o644)
        if how == "remove":
            path.unlink()
        else:
            path.write_bytes(content[:-1] if how == "cut" else content[:-1] + b"~")

        problems = Store(store.root).verify().problems

        assert len(problems) == 1, path
        assert " of a" in problems[0].where
        path.write_bytes(content)
    assert store.verify().problems == ()


def test_mending_makes_room_for_a_new_run(store: Store, put: Put) -> None:
    artifact = put("one", "a")
    put("two", "b")
    path = blob_of(store, artifact.layers[0].blob.digest)
    path.chmod(0o644)
    path.write_bytes(b"uno")

    assert [problem.where for problem in store.verify().problems] == ["engine.onnx of a"]
    assert store.find("a")
    assert store.verify(mend=True).problems
    assert store.find("a") is None

    assert store.verify().problems == ()
    assert list(store.tags()) == ["b"]


def test_what_needs_a_damaged_artifact_goes_with_it(store: Store, put: Put) -> None:
    engine = put("engine", "e")
    put("figures", "f", kind="evaluation", subject=engine.descriptor)
    blob_of(store, engine.digest).unlink()

    assert store.verify(mend=True).problems

    assert store.verify().problems == ()
    assert store.tags() == {}


def test_a_problem_is_named_by_a_run_name(store: Store, put: Put) -> None:
    artifact = put("one", "cache.1", "mugs.train")
    put("two", "cache.2")
    blob_of(store, artifact.layers[0].blob.digest).unlink()

    (problem,) = store.verify().problems

    assert problem.where == "engine.onnx of mugs.train"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", None])
@pytest.mark.parametrize("marked", [True, False])
def test_a_lost_index_is_set_aside(
    store: Store, put: Put, content: bytes | None, *, marked: bool
) -> None:
    put("one", "a")
    path, aside = store.root / "index.json", store.root / "index.json.damaged"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    if not marked:
        (store.root / "oci-layout").unlink()

    (problem,) = Store(store.root).verify(mend=True).problems

    was = "it was missing" if content is None else "is now index.json.damaged"
    assert was in problem.what
    assert "results are made again, and `invoke gc` frees the 3 blobs" in problem.what
    assert (aside.read_bytes() if aside.exists() else None) == content
    fresh = Store(store.root)
    assert (fresh.tags(), fresh.verify().problems) == ({}, ())
    again = put("one", "a")
    assert fresh.find("a") == again
    put("two", "b")
    assert fresh.gc(lambda tag: tag == "b").blobs == 3


def test_mending_makes_no_store(store: Store) -> None:
    assert store.verify(mend=True).problems == ()
    assert not store.root.exists()


def test_an_unreferenced_blob_is_no_problem(store: Store, put: Put) -> None:
    put("one", "a")
    add_blob(store, b"x")

    seen = store.verify()

    assert seen.problems == ()
    assert seen.unreferenced == 1


@pytest.mark.parametrize("content", [None, "{}", '{"imageLayoutVersion": "9"}', "x"])
def test_the_layout_file(store: Store, put: Put, content: str | None) -> None:
    put("one", "a")
    (store.root / "oci-layout").unlink()
    if content is not None:
        (store.root / "oci-layout").write_text(content)

    (problem,) = store.verify().problems

    assert "not an OCI image layout" in problem.what
    store.verify(mend=True)
    assert store.verify().problems == ()
    assert store.find("a")


def test_a_tag_that_names_two_manifests(store: Store, put: Put) -> None:
    put("one", "a")
    put("two", "b")
    path = store.root / "index.json"
    path.write_text(path.read_text().replace('ref.name":"b"', 'ref.name":"a"'))

    (problem,) = Store(store.root).verify().problems

    assert problem.where == "index.json, tag a"
    assert Store(store.root).verify(mend=True).problems
    assert Store(store.root).verify().problems == ()


def titled(title: str | None) -> Change:
    def change(manifest: Manifest, _: Store) -> Manifest:
        annotations = {} if title is None else {oci.TITLE: title}
        layer = msgspec.structs.replace(manifest.layers[0], annotations=annotations)
        return msgspec.structs.replace(manifest, layers=[layer])

    return change


def double(manifest: Manifest, _: Store) -> Manifest:
    return msgspec.structs.replace(manifest, layers=manifest.layers * 2)


def foreign_config(manifest: Manifest, store: Store) -> Manifest:
    content = b'{"created": 1}'
    assert manifest.config
    blob_of(store, manifest.config.digest).unlink()
    add_blob(store, content)
    config = msgspec.structs.replace(
        manifest.config, digest=oci.digest_of(content), size=len(content)
    )
    return msgspec.structs.replace(manifest, config=config)


def wrong_size(manifest: Manifest, _: Store) -> Manifest:
    (layer,) = manifest.layers
    return msgspec.structs.replace(
        manifest, layers=[msgspec.structs.replace(layer, size=layer.size + 1)]
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (titled(None), "title"),
        (titled(".."), "title"),
        (titled("a/b"), "title"),
        (double, "same title"),
        (foreign_config, "does not describe an artifact"),
        (newer, "format 7"),
        (wrong_size, "size"),
    ],
    ids=["untitled", "parent", "nested", "twice", "config", "newer", "size"],
)
def test_sound_blobs_that_describe_no_artifact(
    store: Store, put: Put, tmp_path: Path, change: Change, what: str
) -> None:
    put("one", "a")
    rewrite_manifest(store, change)

    (problem,) = Store(store.root).verify().problems

    assert what in problem.what
    assert not (tmp_path / "b").exists()
    assert Store(store.root).verify(mend=True).problems
    assert bool(Store(store.root).verify().problems) == (change is newer)  # an update reads it


def test_a_creator_that_was_killed_at_once_leaves_nothing_damaged(store: Store, put: Put) -> None:
    (store.root / "blobs/sha256").mkdir(parents=True)

    assert store.verify().problems == ()
    put("one", "a")
    (store.root / "index.json").unlink()
    (store.root / "oci-layout").unlink()
    assert store.verify().problems
