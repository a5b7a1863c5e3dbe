import json

import msgspec
import pytest

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Store
from mmdet_jetson.store.oci import canonical_json, digest_of


def rewrite(store, change):
    """Change the only manifest, and the index with it, keeping all digests right."""
    blobs = store.root / "blobs/sha256"
    index = json.loads((store.root / "index.json").read_bytes())
    old = blobs / index["manifests"][0]["digest"][7:]
    manifest = json.loads(old.read_bytes())
    change(manifest, blobs)
    content = canonical_json(manifest)
    old.unlink()
    (blobs / digest_of(content)[7:]).write_bytes(content)
    index["manifests"][0] |= {"digest": digest_of(content), "size": len(content)}
    (store.root / "index.json").write_text(json.dumps(index))


def test_a_sound_store(store, dataset, provenance, put):
    artifact = store.put("dataset", dataset, provenance, ["a", "b"])
    put("figures", kind="evaluation", subject=artifact.descriptor)
    steps = []

    seen = store.verify(lambda step, total: steps.append((step, total)))

    assert seen.problems == ()
    assert seen.unreferenced == 0
    assert seen.blobs == len(artifact.layers) + 2 + 3
    assert steps[-1] == (seen.size, seen.size)


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_every_blob_is_read(store, dataset, provenance, how):
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


def test_mending_makes_room_for_a_new_run(store, put):
    artifact = put("one", "a")
    put("two", "b")
    path = store.root / "blobs/sha256" / artifact.layers[0].blob.digest[7:]
    path.chmod(0o644)
    path.write_bytes(b"uno")

    assert [problem.where for problem in store.verify().problems] == ["engine.onnx of a"]
    assert store.find("a")
    assert store.verify(mend=True).problems
    assert store.find("a") is None

    assert store.verify().problems == ()
    assert list(store.tags()) == ["b"]


def test_what_needs_a_damaged_artifact_goes_with_it(store, put):
    engine = put("engine", "e")
    put("figures", "f", kind="evaluation", subject=engine.descriptor)
    (store.root / "blobs/sha256" / engine.digest[7:]).unlink()

    assert store.verify(mend=True).problems

    assert store.verify().problems == ()
    assert store.tags() == {}


def test_a_problem_is_named_by_a_run_name(store, put):
    artifact = put("one", "cache.1", "mugs.train")
    put("two", "cache.2")
    (store.root / "blobs/sha256" / artifact.layers[0].blob.digest[7:]).unlink()

    (problem,) = store.verify().problems

    assert problem.where == "engine.onnx of mugs.train"


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[]"])
@pytest.mark.parametrize("marked", [True, False])
def test_a_lost_index_is_rebuilt(store, dataset, provenance, content, marked):
    def keyed(text, key, created):
        changed = msgspec.structs.replace(provenance, key=key, created=created)
        (dataset / "val.json").write_text(text)
        return store.put("dataset", dataset, changed, [f"cache.{key}", f"mugs.{key}"])

    keyed("[1]", "1", "2024-01-02T10:00:00+00:00")
    later = keyed("[2]", "1", "2024-01-03T10:00:00+00:00")
    other = keyed("[3]", "2", "2024-01-01T10:00:00+00:00")
    path = store.root / "index.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    if not marked:
        (store.root / "oci-layout").unlink()

    (problem,) = Store(store.root).verify(mend=True).problems

    assert "rebuilt from the 2 artifacts" in problem.what
    fresh = Store(store.root)
    assert fresh.verify().problems == ()
    assert {tag: fresh.find(tag) for tag in fresh.tags()} == {"cache.1": later, "cache.2": other}


def test_an_index_is_not_rebuilt_without_what_a_newer_version_made(store, put):
    put("one", "a")
    rewrite(store, newer)
    (store.root / "index.json").unlink()

    with pytest.raises(UserError, match="format 7"):
        store.verify(mend=True)
    assert not (store.root / "index.json").exists()


def test_mending_makes_no_store(store):
    assert store.verify(mend=True).problems == ()
    assert not store.root.exists()


def test_an_unreferenced_blob_is_no_problem(store, put):
    put("one", "a")
    (store.root / "blobs/sha256" / ("f" * 64)).write_bytes(b"x")

    seen = store.verify()

    assert seen.problems == ()
    assert seen.unreferenced == 1


@pytest.mark.parametrize("content", [None, "{}", '{"imageLayoutVersion": "9"}', "x"])
def test_the_layout_file(store, put, content):
    put("one", "a")
    (store.root / "oci-layout").unlink()
    if content is not None:
        (store.root / "oci-layout").write_text(content)

    (problem,) = store.verify().problems

    assert "not an OCI image layout" in problem.what
    store.verify(mend=True)
    assert store.verify().problems == ()
    assert store.find("a")


def test_a_tag_that_names_two_manifests(store, put):
    put("one", "a")
    put("two", "b")
    path = store.root / "index.json"
    path.write_text(path.read_text().replace('ref.name":"b"', 'ref.name":"a"'))

    (problem,) = Store(store.root).verify().problems

    assert problem.where == "index.json, tag a"
    assert Store(store.root).verify(mend=True).problems
    assert Store(store.root).verify().problems == ()


def set_title(title):
    def change(manifest, _):
        if title is None:
            del manifest["layers"][0]["annotations"]
        else:
            manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = title

    return change


def double(manifest, _):
    manifest["layers"].append(manifest["layers"][0])


def foreign_config(manifest, blobs):
    content = b'{"created": 1}'
    (blobs / manifest["config"]["digest"][7:]).unlink()
    (blobs / digest_of(content)[7:]).write_bytes(content)
    manifest["config"] |= {"digest": digest_of(content), "size": len(content)}


def newer(manifest, _):
    manifest["artifactType"] = "application/vnd.mmdet-jetson.engine.v7"


def wrong_size(manifest, _):
    manifest["layers"][0]["size"] += 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (set_title(None), "title"),
        (set_title(".."), "title"),
        (set_title("a/b"), "title"),
        (double, "same title"),
        (foreign_config, "does not describe an artifact"),
        (newer, "format 7"),
        (wrong_size, "size"),
    ],
    ids=["untitled", "parent", "nested", "twice", "config", "newer", "size"],
)
def test_sound_blobs_that_describe_no_artifact(store, put, tmp_path, change, what):
    put("one", "a")
    rewrite(store, change)

    (problem,) = Store(store.root).verify().problems

    assert what in problem.what
    assert not (tmp_path / "b").exists()
    assert Store(store.root).verify(mend=True).problems
    assert bool(Store(store.root).verify().problems) == (change is newer)  # an update reads it
