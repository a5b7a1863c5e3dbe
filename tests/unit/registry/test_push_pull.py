"""Artifacts between stores, by way of a folder in OCI layout: what goes over, and what stays."""

from pathlib import Path

import msgspec
import pytest
from folder_places import RUN_TAGS, pull_from, push_to, retagged
from small_artifacts import blob_of, found
from small_runs import Run, is_clean, make_bundle, manifests

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry import pull as pulling
from mmdet_jetson.registry.folder import Folder
from mmdet_jetson.registry.names import digest_tag
from mmdet_jetson.registry.place import Content, PlaceError
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.store import Store, is_cache_tag
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import MANIFEST, Manifest, canonical_json, digest_of


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


def test_a_tag_that_moves_meanwhile_changes_nothing(run: Run, folder: Path, second: Store) -> None:
    push_to(run, folder, "mugs")

    class Moving(Folder):
        def manifest(self, reference: str) -> Content | None:
            if reference == run.made["train"].digest:
                retagged(folder, b"{}", "mugs.train")
            return super().manifest(reference)

    pull(Moving("oci:moving", Layout(folder)), ["mugs.train"], second)
    assert second.tags()["mugs.train"].digest == run.made["train"].digest


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
