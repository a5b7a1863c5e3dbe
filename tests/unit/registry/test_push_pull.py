"""Artifacts between stores, by way of a folder in OCI layout."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from small_artifacts import blob_of, found
from small_runs import BUNDLE, Run, is_clean, make_bundle, manifests, small_run

import mmdet_jetson
from mmdet_jetson.errors import UserError
from mmdet_jetson.registry import pull as pulling
from mmdet_jetson.registry.folder import Folder, open_folder
from mmdet_jetson.registry.moving import Moved, Quiet
from mmdet_jetson.registry.names import digest_tag
from mmdet_jetson.registry.place import Content, PlaceError
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Descriptor, Store, cache_tag, is_cache_tag
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import INDEX, MANIFEST, Manifest, canonical_json, digest_of

RUN_TAGS = {"mugs.train", "mugs.engine-pc", "mugs.evaluate-pc"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return small_run(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "folder"


@pytest.fixture
def second(tmp_path: Path) -> Store:
    return Store(tmp_path / "second")


def push_to(run: Run, folder: Path, *names: str, evidence: bool = True, tag: str = "") -> Moved:
    with open_folder("oci:folder", folder, writing=True) as place:
        return push(run.store, names, place, evidence=evidence, tag=tag)


def pull_from(folder: Path, store: Store, *names: str, evidence: bool = True) -> Moved:
    with open_folder("oci:folder", folder, writing=False) as place:
        return pull(place, names, store, evidence=evidence)


def test_a_run_goes_there_and_into_another_store(
    run: Run, folder: Path, second: Store, tmp_path: Path
) -> None:
    pushed = push_to(run, folder, "mugs")
    pulled = pull_from(folder, second, "mugs")

    assert {each.tag for each in pushed.named} == RUN_TAGS
    assert pushed == pulled
    assert (pushed.manifests, pushed.blobs, pushed.blobs_sent) == (4, 9, 9)
    assert pushed.sent == pushed.size
    assert manifests(second) == manifests(run.store)
    assert second.tags() == run.store.tags()
    assert is_clean(second)
    assert is_clean(Store(folder))
    second.checkout(found(second, "mugs.train"), tmp_path / "out")
    assert (tmp_path / "out/best.pth").read_bytes() == bytes(range(256)) * 9000


def test_what_is_there_is_not_moved_again(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    pull_from(folder, second, "mugs")
    files = {
        path: path.stat().st_mtime_ns for path in (*folder.rglob("*"), *second.root.rglob("*"))
    }
    files = {
        path: when for path, when in files.items() if path.is_file() and ".lock" not in path.name
    }

    assert (push_to(run, folder, "mugs").blobs_sent, push_to(run, folder, "mugs").sent) == (0, 0)
    assert pull_from(folder, second, "mugs").blobs_sent == 0

    assert not [path for path, when in files.items() if path.stat().st_mtime_ns != when]


@pytest.mark.parametrize(("evidence", "steps"), [(True, 3), (False, 1)])
def test_what_refers_to_an_artifact_goes_along(
    run: Run, folder: Path, second: Store, *, evidence: bool, steps: int
) -> None:
    push_to(run, folder, "mugs.engine-pc", evidence=evidence)
    assert len(manifests(Store(folder))) == steps
    pull_from(folder, second, "mugs.engine-pc")

    assert len(second.artifacts()) == steps
    assert {tag for tag in second.tags() if not is_cache_tag(tag)} == {"mugs.engine-pc"}
    second.gc(lambda tag: not is_cache_tag(tag))
    assert len(second.artifacts()) == steps  # they live as long as what they are about


def test_evidence_brings_what_it_is_about(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs.evaluate-pc", evidence=False)
    pull_from(folder, second, run.made["evaluate-pc"].digest, evidence=False)

    assert {each.kind for each in second.artifacts()} == {"evaluation", "engine"}
    assert is_clean(second)


def test_everything_there_has_a_tag_that_stays(run: Run, folder: Path) -> None:
    nameless = run.make("given", {"a": b"1"}, "mugs.given", key="")
    push_to(run, folder, "mugs")

    tags = Store(folder).tags()
    kept = {named.digest for tag, named in tags.items() if tag not in {*RUN_TAGS, "mugs.given"}}
    assert kept == set(manifests(run.store))
    assert tags[digest_tag(nameless.digest)].digest == nameless.digest
    assert not [tag for tag in tags if "digest." in tag and tag != digest_tag(nameless.digest)]


def test_a_bundle_and_what_it_holds_are_kept_by_digest(
    run: Run, folder: Path, second: Store
) -> None:
    parts = list(run.made.values())
    bundle = make_bundle(run.store, parts, "mugs.bundle")
    moved = push_to(run, folder, "mugs.bundle")

    assert (moved.manifests, moved.named[0].kind) == (5, "bundle")
    tags = Store(folder).tags()
    for digest in (bundle.digest, *(part.digest for part in parts)):
        assert tags[digest_tag(digest)].digest == digest
    pull_from(folder, second, "mugs.bundle")
    assert second.tags()["mugs.bundle"].digest == bundle.digest
    assert not [tag for tag in second.tags() if tag.startswith("digest.")]
    assert {each.digest for each in second.artifacts()} == {part.digest for part in parts}
    assert is_clean(second)


@pytest.mark.parametrize("cut", [71, 19])
def test_what_is_pulled_by_its_digest_stays(
    run: Run, folder: Path, second: Store, cut: int
) -> None:
    bundle = make_bundle(run.store, list(run.made.values()), "mugs.bundle")
    push_to(run, folder, "mugs.bundle")
    named = pull_from(folder, second, bundle.digest[:cut]).named
    assert [(each.tag, each.digest) for each in named] == [("", bundle.digest)]

    Store(second.root).gc(lambda tag: not is_cache_tag(tag))
    again = Store(second.root)
    assert again.bundle(bundle.digest)
    assert {each.digest for each in again.artifacts()} == {m.digest for m in run.made.values()}
    assert pull_from(folder, again, bundle.digest).blobs_sent == 0
    kept = digest_tag(bundle.digest)
    with open_folder("oci:third", folder.with_name("third"), writing=True) as place:
        assert push(again, [kept], place).named[0].tag == ""
        assert place.resolve(kept)


def test_another_result_of_the_same_step_takes_no_tag_away(
    run: Run, folder: Path, tmp_path: Path, second: Store
) -> None:
    push_to(run, folder, "mugs")
    (tmp_path / "other").mkdir()
    other = Run(Store(tmp_path / "other/artifacts"))
    key = run.made["train"].provenance.key
    again = other.make("train", {"best.pth": b"2"}, "mugs.train", kind="checkpoint", key=key)
    push_to(other, folder, "mugs")

    tags = Store(folder).tags()
    assert tags[cache_tag(key)].digest == run.made["train"].digest
    assert tags[digest_tag(again.digest)].digest == tags["mugs.train"].digest == again.digest
    pull_from(folder, second, "mugs.train")
    assert cache_tag(key) not in second.tags()
    pull_from(folder, other.store, run.made["train"].digest)
    assert other.store.tags()[cache_tag(key)].digest == again.digest


def test_who_loses_the_race_for_a_key_is_kept_by_its_digest(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Run(Store(tmp_path / "other/artifacts"))
    key = run.made["train"].provenance.key
    theirs = other.make("train", {"best.pth": b"2"}, "mugs.train", kind="checkpoint", key=key)

    class Raced(Folder):
        """Somebody's push of the same key comes right after ours, having seen none either."""

        def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
            super().put_manifest(manifest, tags)
            if cache_tag(key) in tags and manifest.descriptor.digest != theirs.digest:
                push_to(other, folder.with_name("theirs"), theirs.digest)
                retagged(folder, manifests(other.store)[theirs.digest], cache_tag(key))

    with ExitStack() as opening:
        push(run.store, [run.made["train"].digest], Raced("oci:raced", Layout(folder), opening))
    tags = Store(folder).tags()
    assert tags[cache_tag(key)].digest == theirs.digest
    assert tags[digest_tag(run.made["train"].digest)].digest == run.made["train"].digest


def test_names_that_a_pull_moves_are_told_and_nothing_is_lost(
    run: Run, folder: Path, second: Store, tmp_path: Path
) -> None:
    make_bundle(run.store, list(run.made.values()), "mugs.bundle")
    push_to(run, folder, "mugs")
    (tmp_path / "other").mkdir()
    ours = Run(Store(tmp_path / "other/artifacts"))
    trained = ours.make("train", {"best.pth": b"2"}, "mugs.train", kind="checkpoint", key="ours")
    bundle = make_bundle(ours.store, [trained], "mugs.bundle")
    given = ours.make("given", {"a": b"2"}, "mugs.given", key="")

    moved = pull_from(folder, ours.store, "mugs")
    assert {each.tag: each.before for each in moved.named if each.before} == {
        "mugs.train": trained.digest,
        "mugs.bundle": bundle.digest,
    }
    tags = Store(ours.store.root).tags()
    assert tags["mugs.train"].digest == run.made["train"].digest
    assert tags[cache_tag("ours")].digest == trained.digest
    assert tags[digest_tag(bundle.digest)].digest == bundle.digest
    assert tags["mugs.given"].digest == given.digest
    kept = {tag for tag in tags if tag.startswith("digest.")}
    assert kept == {digest_tag(bundle.digest)}
    assert not [each for each in pull_from(folder, ours.store, "mugs").named if each.before]
    ours.store.gc(lambda tag: not is_cache_tag(tag))
    assert {each.digest for each in Store(ours.store.root).bundles()} >= {bundle.digest}


def test_names_of_what_to_move(run: Run, folder: Path) -> None:
    engine = run.made["engine-pc"]
    for name in (engine.digest, engine.digest[7:], engine.digest[7:19], engine.digest[:19]):
        assert [each.digest for each in push_to(run, folder, name).named] == [engine.digest]
    assert {tag for tag in Store(folder).tags() if not is_cache_tag(tag)} == set()
    assert push_to(run, folder, "mugs.train", tag="v1").named[0].tag == "v1"
    assert Store(folder).tags()["v1"].digest == run.made["train"].digest

    with pytest.raises(UserError, match=r"3 artifacts cannot all be tagged 'v1'"):
        push_to(run, folder, "mugs", tag="v1")
    for wrong, near in {"mug": "mugs", "mugs.trian": "mugs.train", "zzz": "one of: mugs"}.items():
        with pytest.raises(UserError, match=f"nothing in the store is called '{wrong}'") as caught:
            push_to(run, folder, wrong)
        assert near in caught.value.hint
    with pytest.raises(UserError, match="is called 'nothing'"):
        push_to(run, folder.with_name("unmade"), "nothing")
    assert not folder.with_name("unmade").exists()
    with pytest.raises(UserError, match="is called 'cache'"):
        push_to(run, folder, "cache")
    with pytest.raises(UserError, match="is called '0000000000000'"):
        push_to(run, folder, "0000000000000")


def test_a_damaged_store_is_not_pushed(run: Run, folder: Path) -> None:
    blob = blob_of(run.store, run.made["train"].layers[0].blob.digest)
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(b"x" + content[1:])
    with pytest.raises(PlaceError, match=r"is damaged here: its content does not match"):
        push_to(run, folder, "mugs.train")
    assert not list(folder.glob(f".partial/{blob.name}"))
    blob.unlink()
    with pytest.raises(UserError, match="is missing from the store"):
        push_to(run, folder, "mugs.train")
    blob_of(run.store, run.made["train"].digest).unlink()
    with pytest.raises(PlaceError, match=r"manifest .* of the store is missing"):
        push_to(run, folder, "mugs.train")
    assert Store(folder).tags() == {}


class Bad(Folder):
    """A folder, parts of which are not as they should be."""

    def __init__(self, root: Path) -> None:
        super().__init__("oci:bad", Layout(root))
        self.change: Callable[[Iterator[bytes]], Iterator[bytes]] = lambda blocks: blocks
        self.large = bytes(range(256)) * 9000
        self.served = 0

    @contextmanager
    def read(self, blob: Descriptor, start: int = 0) -> Iterator[Iterator[bytes]]:
        with super().read(blob, start) as blocks:
            yield self.counted(self.change(blocks) if blob.size == len(self.large) else blocks)

    def counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.served += len(block)
            yield block


def other(blocks: Iterator[bytes]) -> Iterator[bytes]:
    return (bytes(len(block)) for block in blocks)


def short(blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield next(blocks)


def endless(blocks: Iterator[bytes]) -> Iterator[bytes]:
    while True:
        yield b"x" * 100_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other, "its content does not match its digest"),
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


def retagged(folder: Path, content: bytes, tag: str, media_type: str = MANIFEST) -> None:
    """Let a tag of a layout name other bytes."""
    layout = Layout(folder)
    pointer = Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
    with layout.staging() as staging:
        staging.add(lambda sink: sink.write(content))
        layout.commit(
            staging, lambda all_: [*(e for e in all_ if e.tag != tag), pointer.tagged(tag)]
        )


def changed(run: Run, **changes: object) -> bytes:
    manifest = Layout(run.store.root).manifest(run.made["train"].descriptor)
    return canonical_json(msgspec.structs.replace(manifest, **changes))


HOSTILE: dict[str, tuple[Callable[[Run], bytes], str]] = {
    "an image": (lambda run: changed(run, artifact_type="application/x"), "is no artifact of ours"),
    "docker": (
        lambda run: changed(run, media_type="application/vnd.docker.distribution.manifest.v2+json"),
        "is no artifact of ours",
    ),
    "no manifest": (lambda run: b'{"mediaType": 1}', "is not a manifest"),
    "no JSON": (lambda run: b"<html>", "is not a manifest"),
    "outside": (
        lambda run: changed(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, urls=["http://x/"])]),
        r"names a file outside: 'http://x/'",
    ),
    "two sizes": (
        lambda run: changed(run, layers=[run.made["train"].layers[0].blob, msgspec.structs.replace(run.made["train"].layers[0].blob, size=7)]),
        "has two sizes",
    ),
    "negative": (
        lambda run: changed(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, size=-1)]),
        "a blob of -1 bytes",
    ),
    "a missing blob": (
        lambda run: changed(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, digest="sha256:" + "0" * 64)]),
        "lacks blob",
    ),
    "a missing subject": (
        lambda run: changed(run, subject=msgspec.structs.replace(run.made["train"].descriptor, digest="sha256:" + "0" * 64)),
        "is missing",
    ),
    "no artifact": (lambda run: changed(run, layers=[msgspec.structs.replace(run.made["train"].layers[0].blob, annotations={"org.opencontainers.image.title": "../x"})]), "does not describe an artifact"),
    "no provenance": (lambda run: changed(run, config=run.made["engine-pc"].layers[1].blob), "does not describe an artifact"),
    "deep": (lambda run: b'{"schemaVersion": 2, "config": {"mediaType": "x", "size": 1, "platform": {"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}", "is not a manifest"),
    "a terminal's commands": (lambda run: changed(run, artifact_type="\33[2J"), r"of ours: '\\x1b\[2J'"),
    "large": (lambda run: changed(run, annotations={"a": "x" * (4 << 20)}), "larger than the 4 MB"),
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
    retagged(folder, changed(run, config=pointer), "mugs.train")
    with pytest.raises(PlaceError, match=f"does not describe an artifact: {reason}"):
        pull_from(folder, second, "mugs")
    assert second.tags() == {}
    assert second.verify().problems == ()


def test_a_name_that_is_no_tag_is_none(run: Run, folder: Path, second: Store) -> None:
    """As containerd writes addresses, and somebody else whatever."""
    push_to(run, folder, "mugs")
    content = manifests(run.store)[run.made["train"].digest]
    for name in ("registry.example.com/team/mugs:v1", "mugs.\33[2J", "mugs.a b"):
        retagged(folder, content, name)
    assert {each.tag for each in pull_from(folder, second, "mugs").named} == RUN_TAGS


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
    retagged(folder, changed(run, media_type=media_type), "image", media_type)
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


def test_a_tag_that_moves_meanwhile_changes_nothing(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")

    class Moving(Folder):
        def manifest(self, reference: str) -> Content | None:
            if reference == run.made["train"].digest:
                retagged(folder, b"{}", "mugs.train")
            return super().manifest(reference)

    pull(Moving("oci:moving", Layout(folder)), ["mugs.train"], second)
    assert second.tags()["mugs.train"].digest == run.made["train"].digest


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


def test_what_others_say_about_an_artifact_comes_along(
    run: Run, folder: Path, second: Store
) -> None:
    push_to(run, folder, "mugs")
    config = run.made["engine-pc"].layers[1].blob
    signature = Manifest(
        schema_version=2,
        media_type=MANIFEST,
        artifact_type="application/vnd.example.signature",
        config=msgspec.structs.replace(config, annotations=None),
        subject=run.made["train"].descriptor,
    )
    retagged(folder, canonical_json(signature), "signature")
    pull_from(folder, second, "mugs.train")
    assert digest_of(canonical_json(signature)) in manifests(second)
    second.gc(lambda _: True)
    assert digest_of(canonical_json(signature)) in manifests(second)
    assert is_clean(second)


def test_a_disk_without_room_is_seen_before(
    run: Run, folder: Path, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_to(run, folder, "mugs")

    class Usage:
        free = pulling.ROOM + 2_000_000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(UserError, match=r"2 MB have to come from oci:folder, and .* has room for"):
        pull_from(folder, second, "mugs.train")
    pull_from(folder, second, "mugs.engine-pc")


def test_a_folder_of_other_things_is_not_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds other things and is no OCI layout"):
        push_to(run, tmp_path / "documents", "mugs")
    with pytest.raises(UserError, match="there is no OCI layout at"):
        pull_from(tmp_path / "documents", run.store, "mugs")


def test_a_read_only_folder_is_read(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    for path in (folder / ".lock", folder / ".in-use.lock"):
        path.unlink()
    (folder / ".tmp").rmdir()
    for path in (folder, folder / "blobs", folder / "blobs/sha256"):
        path.chmod(0o555)
    before = sorted(folder.rglob("*"))
    pull_from(folder, second, "mugs")
    assert sorted(folder.rglob("*")) == before
    assert is_clean(second)
    for path in (folder, folder / "blobs", folder / "blobs/sha256"):
        path.chmod(0o755)


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


def kill_one(what: str, store: Path, folder: Path, seconds: float) -> int:
    source = str(Path(mmdet_jetson.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", MOVER, what, str(store), str(folder)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": source},
    ) as mover:
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


def test_two_pulls_of_the_same_at_once(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")
    source = str(Path(mmdet_jetson.__file__).parents[1])
    movers = [
        subprocess.Popen(
            [sys.executable, "-c", MOVER, "pull", str(second.root), str(folder)],
            env=os.environ | {"PYTHONPATH": source},
        )
        for _ in range(3)
    ]
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


def other_release(run: Run, second: Store, folder: Path) -> tuple[str, str]:
    """Two stores, each with a bundle of its own called v1.2; the second's is in the folder."""
    ours = make_bundle(run.store, list(run.made.values()), "v1.2")
    push_to(run, folder.with_name("parts"), "mugs")
    pull_from(folder.with_name("parts"), second, "mugs")
    part = second.find("mugs.train")
    assert part
    theirs = make_bundle(second, [part], "v1.2")
    with open_folder("oci:folder", folder, writing=True) as place:
        push(second, ["v1.2"], place)
    return ours.digest, theirs.digest


def test_a_release_keeps_its_name_in_a_place(run: Run, folder: Path, second: Store) -> None:
    ours, theirs = other_release(run, second, folder)
    with pytest.raises(PlaceError, match=f"v1.2 in oci:folder is bundle {theirs[7:19]}"):
        push_to(run, folder, "v1.2")
    assert Layout(folder).index().manifests  # what was there
    assert {e.tag: e.digest for e in Layout(folder).index().manifests}["v1.2"] == theirs

    push_to(run, folder, "v1.2", tag="v1.2")  # as `--to oci:folder:v1.2` asks
    assert {e.tag: e.digest for e in Layout(folder).index().manifests}["v1.2"] == ours


def test_a_release_keeps_its_name_in_the_store(run: Run, folder: Path, second: Store) -> None:
    ours, theirs = other_release(run, second, folder)
    with pytest.raises(PlaceError, match=f"v1.2 is {ours[7:19]} here") as refused:
        pull_from(folder, run.store, "v1.2")
    assert run.store.tags()["v1.2"].digest == ours
    assert theirs in refused.value.hint
    pull_from(folder, run.store, theirs)
    assert run.store.bundle(theirs)


def test_a_release_is_no_part_of_a_run_that_is_called_like_its_start(
    run: Run, folder: Path
) -> None:
    make_bundle(run.store, list(run.made.values()), "v1.2")
    with pytest.raises(UserError, match="nothing in the store is called 'v1'") as refused:
        push_to(run, folder, "v1")
    assert refused.value.hint == "did you mean 'v1.2'?"
