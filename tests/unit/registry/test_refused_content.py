"""What a place has and no store takes: it is refused, and nothing of it stays."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from folder_places import (
    Bad,
    changed_training,
    endless,
    pull_from,
    push_to,
    retagged,
    short,
    zeros,
)
from small_artifacts import blob_of, found
from small_runs import Run, is_clean, manifests

from mmdet_jetson.registry.folder import Folder
from mmdet_jetson.registry.place import Content, PlaceError
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.store import Descriptor, Store, cache_tag
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import INDEX, MANIFEST, Manifest, canonical_json, digest_of


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (zeros, "its content does not match its digest"),
        (short, "it ends after 1048576 of its 2304000 bytes"),
        (endless, "it is longer than its 2304000 bytes"),
    ],
)
def test_a_wrong_blob_is_refused(
    run: Run,
    folder: Path,
    second: Store,
    change: Callable[[Iterator[bytes]], Iterator[bytes]],
    reason: str,
) -> None:
    push_to(run, folder, "mugs")
    place = Bad(folder)
    place.change = change
    with pytest.raises(PlaceError, match=f"of oci:bad is not what was asked for: {reason}"):
        pull(place, ["mugs"], second)
    assert second.tags() == {}
    assert second.verify().problems == ()

    place.change = lambda blocks: blocks
    pull(place, ["mugs"], second)
    assert is_clean(second)
    assert not list(second.root.glob(".partial*"))


BUNDLE = "application/vnd.mmdet-jetson.bundle.v1"

HOSTILE: dict[str, tuple[Callable[[Run], bytes], str]] = {
    "an image": (lambda run: changed_training(run, artifact_type="application/x"), "is no artifact of ours"),
    "docker": (
        lambda run: changed_training(run, media_type="application/vnd.docker.distribution.manifest.v2+json"),
        "is no artifact of ours",
    ),
    "no manifest": (lambda run: b'{"mediaType": 1}', "is not a manifest"),
    "no JSON": (lambda run: b"<html>", "is not a manifest"),
    "outside": (
        lambda run: changed_training(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, urls=["http://x/"])]),
        r"names a file outside: 'http://x/'",
    ),
    "two sizes": (
        lambda run: changed_training(run, layers=[run.made["train"].layers[0].blob, msgspec.structs.replace(run.made["train"].layers[0].blob, size=7)]),
        "has two sizes",
    ),
    "negative": (
        lambda run: changed_training(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, size=-1)]),
        "a blob of -1 bytes",
    ),
    "a missing blob": (
        lambda run: changed_training(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, digest="sha256:" + "0" * 64)]),
        "lacks blob",
    ),
    "a missing subject": (
        lambda run: changed_training(run, subject=msgspec.structs.replace(run.made["train"].descriptor, digest="sha256:" + "0" * 64)),
        "is missing",
    ),
    "no artifact": (lambda run: changed_training(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, annotations={"org.opencontainers.image.title": "../x"})]), "does not describe an artifact"),
    "no provenance": (lambda run: changed_training(run, config=run.made["engine-pc"].layers[1].blob), "does not describe an artifact"),
    "deep": (lambda run: b'{"schemaVersion": 2, "config": {"mediaType": "x", "size": 1, "platform": {"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}", "is not a manifest"),
    "a terminal's commands": (lambda run: changed_training(run, artifact_type="\33[2J"), r"of ours: '\\x1b\[2J'"),
    "large": (lambda run: changed_training(run, annotations={"a": "x" * (4 << 20)}), "larger than the 4 MB"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_artifact_is_refused(what: str, run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    content, reason = HOSTILE[what]
    bad = content(run)
    retagged(folder, bad, "mugs.train")
    with pytest.raises(PlaceError, match=reason):
        pull_from(folder, second, "mugs")
    assert second.tags() == {}
    assert second.verify().problems == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": "\33[31mred/../x"}, r"its key is none: '\\x1b\[31mred"),
        ({"key": "k" * 200}, "its key is none"),
        ({"created": "x"}, "it was made at 'x', which is no time"),
        ({"created": "2024-05-01T10:00:00"}, "it was made at '2024-05-01T10:00:00', which is no"),
        ({"created": "9999-12-31T23:59:59-12:00"}, "it was made at '9999"),
    ],
)
def test_a_provenance_that_the_store_cannot_use_is_refused(
    run: Run, folder: Path, second: Store, changes: dict[str, str], reason: str
) -> None:
    push_to(run, folder, "mugs")
    described = Layout(run.store.root).manifest(run.made["train"].descriptor).config
    assert described
    config = json.loads(blob_of(run.store, described.digest).read_bytes())
    config["provenance"] |= changes
    blob = canonical_json(config)
    blob_of(Store(folder), digest_of(blob)).write_bytes(blob)
    pointer = msgspec.structs.replace(described, digest=digest_of(blob), size=len(blob))
    retagged(folder, changed_training(run, config=pointer), "mugs.train")
    with pytest.raises(PlaceError, match=f"does not describe an artifact: {reason}"):
        pull_from(folder, second, "mugs")
    assert second.tags() == {}
    assert second.verify().problems == ()


@pytest.mark.parametrize("content", [b"", b"<html>", b"[" * 200_000, b'{"schemaVersion": 2, "manifests": [{"size": "x"}]}'])  # fmt: skip
def test_an_index_that_is_none_is_refused(
    run: Run, folder: Path, second: Store, content: bytes
) -> None:
    push_to(run, folder, "mugs")
    (folder / "index.json").write_bytes(content)
    with pytest.raises(PlaceError, match=r"oci:folder cannot be read: .* is not the index"):
        pull_from(folder, second, "mugs")
    with (folder / "index.json").open("wb") as stream:
        stream.truncate(10**9)
    with pytest.raises(PlaceError, match="is larger than 64 MB"):
        pull_from(folder, second, "mugs")
    assert not second.exists()


def test_a_docker_image_is_refused(run: Run, folder: Path, second: Store) -> None:
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    push_to(run, folder, "mugs")
    retagged(folder, changed_training(run, media_type=media_type), "image", media_type)
    with pytest.raises(PlaceError, match=r"v2\+json', which is no artifact of ours"):
        pull_from(folder, second, "image")


class Lying(Folder):
    """A folder whose manifests are others than are asked for."""

    def __init__(self, root: Path, content: Callable[[str], bytes]) -> None:
        super().__init__("oci:lying", Layout(root))
        self.content = content

    def manifest(self, reference: str) -> Content | None:
        content = self.content(reference)
        return Content(Descriptor(media_type=INDEX, digest=reference, size=len(content)), content)


def test_an_index_that_holds_itself_is_refused(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")

    def itself(digest: str) -> bytes:
        child = Descriptor(media_type=INDEX, digest=digest, size=9)
        manifest = Manifest(
            schema_version=2, media_type=INDEX, artifact_type=BUNDLE, manifests=[child]
        )
        return canonical_json(manifest)

    retagged(folder, b"{}" + b" " * (len(itself("sha256:" + "0" * 64)) - 2), "it", INDEX)
    with pytest.raises(PlaceError, match="does not match its digest"):
        pull(Lying(folder, itself), ["it"], second)


def test_an_endless_chain_is_refused(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    parts = run.made["train"].descriptor
    for number in range(20):
        content = canonical_json(
            Manifest(
                schema_version=2,
                media_type=INDEX,
                artifact_type=BUNDLE,
                manifests=[parts],
                annotations={"n": str(number)},
            )
        )
        retagged(folder, content, "chain", INDEX)
        parts = Descriptor(media_type=INDEX, digest=digest_of(content), size=len(content))
    with pytest.raises(PlaceError, match="leads on and on"):
        pull_from(folder, second, "chain")


def test_a_size_that_is_not_so_is_refused(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    index = folder / "index.json"
    size = run.made["train"].descriptor.size
    index.write_text(index.read_text().replace(f'"size":{size}', f'"size":{size + 1}'))
    with pytest.raises(PlaceError, match=f"not {size + 1} bytes long"):
        pull_from(folder, second, "mugs")


def test_a_key_that_is_not_the_results_is_refused(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    key = run.made["train"].provenance.key
    retagged(folder, manifests(run.store)[run.made["engine-pc"].digest], cache_tag(key))
    with pytest.raises(PlaceError, match="names what has another key"):
        pull_from(folder, second, cache_tag(key))
    pull_from(folder, second, "mugs")
    assert cache_tag(key) not in second.tags()
    assert found(second, "mugs.train").provenance.key == key


def test_a_referrer_that_is_gone_is_no_matter(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")

    class Stale(Folder):
        def referrers(self, digest: str) -> list[Descriptor]:
            gone = Descriptor(media_type=MANIFEST, digest="sha256:" + "0" * 64, size=3)
            return [gone, *super().referrers(digest)]

    moved = pull(Stale("oci:stale", Layout(folder)), ["mugs.engine-pc"], second)
    assert moved.manifests == 3
