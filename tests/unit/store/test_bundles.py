"""Indexes in a store: found as bundles, never taken for artifacts, kept with all that they need."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from small_artifacts import Put, add_blob, blob_of, found

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Artifact, Bundle, Descriptor, Store
from mmdet_jetson.store.bundles import encode
from mmdet_jetson.store.oci import INDEX, digest_of


def pointer(artifact: Artifact, **annotations: str) -> Descriptor:
    return msgspec.structs.replace(
        artifact.descriptor, artifact_type=None, annotations=annotations or None
    )


def bundled(store: Store, *artifacts: Artifact, tag: str = "mugs.bundle") -> Bundle:
    return store.put_bundle([pointer(each) for each in artifacts], {"said": "so"}, [tag])


def add_index(store: Store, content: bytes, tag: str) -> None:
    """As skopeo leaves an index of somebody's: a blob and an entry."""
    add_blob(store, content)
    path = store.root / "index.json"
    index = json.loads(path.read_bytes())
    entry = {"mediaType": INDEX, "digest": digest_of(content), "size": len(content)}
    index["manifests"].append({**entry, "annotations": {"org.opencontainers.image.ref.name": tag}})
    path.write_text(json.dumps(index))


def test_a_bundle_is_found_by_tag_and_by_digest(store: Store, put: Put) -> None:
    made = bundled(store, put("one", "one"), put("two"))

    assert store.bundle("mugs.bundle") == store.bundle(made.digest[7:19]) == made
    assert store.bundles() == [made]
    assert store.bundle("one") is None
    assert store.bundle("nobody") is None


def test_it_is_no_artifact_and_no_damage(store: Store, put: Put) -> None:
    one = put("one", "one")
    bundled(store, one)

    assert store.find("mugs.bundle") is None
    assert store.damage("mugs.bundle") == ""
    assert store.artifacts() == [one]
    assert store.verify().problems == ()


def test_its_bytes_are_those_of_gos_types(store: Store, put: Put) -> None:
    """Else skopeo 1.9.3 gives its copy another digest, as below."""
    one = put("one")
    made = store.put_bundle([pointer(one, b="<2>", a="1")], {"z": "&"}, ["it"])

    content = blob_of(store, made.digest).read_text()

    assert content == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['
        '{"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        f'"digest":"{one.digest}","size":{one.descriptor.size},'
        '"annotations":{"a":"1","b":"\\u003c2\\u003e"}}],'
        '"annotations":{"mmdet-jetson.format":"1","mmdet-jetson.kind":"bundle","z":"\\u0026"}}'
    )


def test_skopeo_copies_it_with_its_digest(store: Store, put: Put, tmp_path: Path) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    engine = put("engine", "mugs.engine-pc")
    proof = put("proof", "mugs.prove-pc", kind="proof", subject=engine.descriptor)
    made = store.put_bundle(
        [pointer(engine, b="2 < 3 & 4", a="ä"), pointer(proof)], {"z": "z"}, ["mugs.bundle"]
    )

    copy = ["skopeo", "copy", "-q", "--insecure-policy", "--all"]
    subprocess.run([*copy, "oci:artifacts:mugs.bundle", "oci:copy:it"], cwd=tmp_path, check=True)

    copied = Store(tmp_path / "copy")
    assert copied.bundle("it") == made
    assert copied.artifacts() == [engine, proof]
    assert copied.verify().problems == ()
    copied.gc(lambda _: True)
    assert copied.artifacts() == [engine, proof]


def test_gc_keeps_all_that_a_bundle_needs(store: Store, put: Put) -> None:
    engine = put("engine", "mugs.engine-pc")
    proof = put("proof", "mugs.prove-pc", kind="proof", subject=engine.descriptor)
    put("other", "other")
    bundled(store, proof)
    store.untag("mugs.engine-pc", "mugs.prove-pc", "other")

    freed = store.gc(lambda _: True)

    assert freed.blobs > 0
    assert store.find(proof.digest) == proof
    assert blob_of(store, engine.digest).exists()
    assert store.verify().problems == ()


def test_a_bundle_without_a_name_goes_and_its_named_parts_stay(store: Store, put: Put) -> None:
    one = put("one", "one")
    made = bundled(store, one, put("two"))
    store.untag("mugs.bundle")

    store.gc(lambda _: True)

    assert store.bundle(made.digest) is None
    assert store.artifacts() == [one]


def test_parts_that_the_index_does_not_list_are_found(store: Store, put: Put) -> None:
    """As in a layout that skopeo copied a bundle into."""
    one, two = put("one", "one"), put("two", "two")
    bundled(store, one, two)
    store.untag("one", "two")

    assert store.find(two.digest[7:19]) == two
    assert store.part(pointer(one)) == one
    assert store.artifacts() == [one, two]
    assert found(store, one.digest).layers


def test_what_is_not_here_in_full_is_not_bundled(store: Store, put: Put) -> None:
    one = put("one", "one")
    blob_of(store, one.layers[0].blob.digest).unlink()

    with pytest.raises(UserError, match=r"cannot be bundled: blob sha256:\w+ is missing"):
        bundled(store, one)
    assert "mugs.bundle" not in store.tags()


def test_a_bundle_whose_part_is_gone_is_damaged(store: Store, put: Put) -> None:
    one = put("one", "one")
    bundled(store, one)
    blob_of(store, one.layers[0].blob.digest).unlink()

    assert "is missing" in store.damage("mugs.bundle")
    assert store.verify().problems
    store.verify(mend=True)
    assert store.tags() == {}


def test_a_damaged_bundle_is_none(store: Store, put: Put) -> None:
    made = bundled(store, put("one", "one"))
    blob = blob_of(store, made.digest)
    blob.chmod(0o644)
    blob.write_bytes(b"{" * made.descriptor.size)

    assert Store(store.root).bundle("mugs.bundle") is None
    assert (
        Store(store.root).damage("mugs.bundle") == f"blob {made.digest[:19]} is not the manifest"
        " that it was"
    )


def test_somebody_elses_index_is_none(store: Store, put: Put) -> None:
    put("one", "one")
    add_index(store, b'{"schemaVersion":2,"manifests":[]}', "alien")

    assert store.bundle("alien") is None
    assert store.bundles() == []
    assert store.verify().problems == ()


def test_a_bundle_of_a_newer_version_says_so(store: Store, put: Put) -> None:
    put("one", "one")
    said = {"mmdet-jetson.kind": "bundle", "mmdet-jetson.format": "7"}
    add_index(store, encode([], said), "newer")

    with pytest.raises(UserError, match="there is a bundle in format 7"):
        store.bundle("newer")


def test_the_same_parts_are_one_bundle(store: Store, put: Put) -> None:
    one = put("one", "one")

    assert bundled(store, one).digest == bundled(store, one, tag="v1").digest
    store.tag(bundled(store, one), "v2")
    assert {"mugs.bundle", "v1", "v2"} <= set(store.tags())
