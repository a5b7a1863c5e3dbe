import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import msgspec
import pytest
from oras.layout import Layout
from small_artifacts import Put, Tree, blob_of, found, newer, rewrite_manifest

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Artifact, Provenance, Store, listing


def layer_of(store: Store, artifact: Artifact, title: str) -> Path:
    (layer,) = artifact.parts([title])
    return blob_of(store, layer.blob.digest)


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_what_went_in_comes_out(
    store: Store, dataset: Path, provenance: Provenance, tmp_path: Path, tree: Tree
) -> None:
    stored = store.put("dataset", dataset, provenance, ["cache.1"])

    again = found(Store(store.root), "cache.1")

    assert again == stored
    assert again.provenance == provenance
    assert again.kind == "dataset"
    store.checkout(again, tmp_path / "job/inputs/dataset")
    assert tree(tmp_path / "job/inputs/dataset") == tree(dataset)


def test_files_come_out_read_only(
    store: Store, dataset: Path, provenance: Provenance, tmp_path: Path
) -> None:
    artifact = store.put("dataset", dataset, provenance, ["t"])

    store.checkout(artifact, tmp_path / "out")

    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o444}
    shutil.rmtree(tmp_path / "out")


def test_a_checkout_does_not_share_files_with_the_store(
    store: Store, put: Put, tmp_path: Path
) -> None:
    artifact = put("one", "t")
    store.checkout(artifact, tmp_path / "out")

    damage(tmp_path / "out/engine.onnx", b"changed")

    store.checkout(artifact, tmp_path / "again")
    assert (tmp_path / "again/engine.onnx").read_bytes() == b"one"


def test_parts(
    store: Store, dataset: Path, provenance: Provenance, tmp_path: Path, tree: Tree
) -> None:
    artifact = store.put("dataset", dataset, provenance, ["t"])

    store.checkout(artifact, tmp_path / "out", ["val.json", "val"])

    assert set(tree(tmp_path / "out")) == {"val.json", "val", "val/c.jpg"}
    with pytest.raises(KeyError):
        store.checkout(artifact, tmp_path / "other", ["test"])
    assert not (tmp_path / "other").exists()


def test_an_artifact_is_immutable(put: Put) -> None:
    with pytest.raises(FrozenInstanceError):
        put("one").kind = "other"  # type: ignore[misc]


def test_content_ignores_when_and_how_it_was_made(
    store: Store, dataset: Path, provenance: Provenance, tmp_path: Path
) -> None:
    first = store.put("dataset", dataset, provenance, ["a"])
    for path in dataset.rglob("*"):
        os.utime(path, (1, 1))
    later = msgspec.structs.replace(provenance, created="2025-01-01T00:00:00Z", seconds=9.0)
    second = store.put("dataset", dataset, later, ["b"])

    assert first.digest != second.digest
    assert first.content == second.content
    (dataset / "val/c.jpg").write_bytes(b"d")
    third = store.put("dataset", dataset, provenance, ["c"])
    assert third.content != first.content
    assert third.content_of(["train", "train.json"]) == first.content_of(["train.json", "train"])
    assert third.content_of(["val"]) != first.content_of(["val"])
    assert store.put("engine", dataset, provenance, ["d"]).content != third.content


def test_size_is_that_of_all_layers(put: Put) -> None:
    assert put("12345").size == 5


def test_a_store_that_was_never_written(store: Store) -> None:
    assert store.find("x") is None
    assert store.tags() == {}
    assert store.artifacts() == []
    assert store.verify().problems == ()
    assert store.gc(lambda _: False).blobs == 0
    assert not store.root.exists()


def test_other_entries_of_the_folder_are_left_alone(store: Store, put: Put, tree: Tree) -> None:
    (store.root / "jobs/train-1").mkdir(parents=True)
    (store.root / "README.md").write_text("read me")
    assert store.verify().problems == ()
    put("one")
    store.gc(lambda _: False)

    assert (store.root / "README.md").read_text() == "read me"
    assert (store.root / "jobs/train-1").is_dir()


def test_tags_move_and_go(store: Store, put: Put) -> None:
    first, second = put("one", "run", "cache.1"), put("two", "cache.2")

    store.tag(second, "run", "production")
    store.untag("cache.1")

    named = {tag: entry.digest for tag, entry in store.tags().items()}
    assert named == dict.fromkeys(["cache.2", "run", "production"], second.digest)
    assert store.find("cache.1") is None
    assert first.digest != second.digest


@pytest.mark.parametrize("tag", ["", "a b", "-x", "a/b", "x" * 129, "ü"])
def test_a_tag_that_no_oci_tool_takes(put: Put, tag: str) -> None:
    with pytest.raises(ValueError, match="not a tag"):
        put("one", tag)


@pytest.mark.parametrize("kind", ["", "Engine", "a b", "a/b"])
def test_a_kind_that_is_no_name(put: Put, kind: str) -> None:
    with pytest.raises(ValueError, match="not a kind"):
        put("one", kind=kind)


def test_tagging_what_was_collected(store: Store, put: Put) -> None:
    artifact = put("one", "t")
    store.gc(lambda _: False)

    with pytest.raises(UserError, match="no longer in"):
        store.tag(artifact, "run")


def test_another_process_changes_the_index(store: Store, put: Put) -> None:
    assert store.find("new") is None
    other = Store(store.root)
    artifact = put("one", "first")

    other.tag(artifact, "new")

    assert store.find("new") == artifact


def test_an_index_that_did_not_change_is_not_parsed_again(
    store: Store, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = put("one", "a")
    fresh = Store(store.root)
    assert fresh.find("a") == artifact
    monkeypatch.setattr(listing, "_parsed", lambda _: pytest.fail("it was parsed again"))
    assert fresh.find("a") == artifact
    assert fresh.tags().keys() == {"a"}


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"x",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("title", ["best.pth", "train", "val.json"])
def test_a_damaged_layer_never_comes_out(
    store: Store, dataset: Path, provenance: Provenance, *, tmp_path: Path, title: str, how: str
) -> None:
    artifact = store.put("dataset", dataset, provenance, ["t"])
    blob = layer_of(store, artifact, title)
    damage(blob, DAMAGES[how](blob.read_bytes()))

    with pytest.raises(UserError, match=title) as caught:
        store.checkout(artifact, tmp_path / "job/out")

    assert "dataset " + artifact.digest[7:19] in caught.value.message
    assert "invoke verify" in caught.value.hint
    assert not any((tmp_path / "job").iterdir())


def test_a_damaged_artifact_is_made_again(
    store: Store, dataset: Path, provenance: Provenance, tmp_path: Path, tree: Tree
) -> None:
    artifact = store.put("dataset", dataset, provenance, ["t"])
    damage(layer_of(store, artifact, "val.json"), b"[]")
    assert store.find("t")
    with pytest.raises(UserError):
        store.checkout(artifact, tmp_path / "out")

    assert store.find("t") is None
    again = store.put("dataset", dataset, provenance, ["t"])

    store.checkout(again, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(dataset)


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_an_incomplete_artifact_is_not_found_and_what_it_lacks_is_named(
    store: Store, put: Put, part: str
) -> None:
    artifact = put("one", "t")
    manifest = store.root / "blobs/sha256" / artifact.digest[7:]
    config = json.loads(manifest.read_bytes())["config"]["digest"]
    path = {
        "manifest": manifest,
        "config": store.root / "blobs/sha256" / config[7:],
        "layer": layer_of(store, artifact, "engine.onnx"),
    }[part]
    assert store.damage("t") == ""

    damage(path, path.read_bytes() + b"x")
    assert f"blob sha256:{path.name[:12]} is not" in Store(store.root).damage("t")
    path.unlink()

    fresh = Store(store.root)
    assert fresh.find("t") is None
    assert fresh.damage("t") == f"blob sha256:{path.name[:12]} is missing"
    assert fresh.damage("never-made") == ""


def test_a_digest_names_an_artifact_too(store: Store, put: Put) -> None:
    artifact = put("one", "t")
    put("two", "u")

    digits = artifact.digest.removeprefix("sha256:")
    for name in (artifact.digest, digits, digits[:12], artifact.digest[:19]):
        assert store.find(name) == artifact
    for name in (digits[:11], "sha256:", "f" * 12, f"sha512:{digits}"):
        assert store.find(name) is None


def test_a_checkout_where_no_folder_can_be(store: Store, put: Put, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    artifact = put("one", "t")
    for folder in (tmp_path / "file/x", Path("/proc/x")):
        with pytest.raises(UserError, match=str(folder.parent)) as caught:
            store.checkout(artifact, folder)
        assert caught.value.hint


def test_a_store_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        Store(tmp_path / "file").create()
    with pytest.raises(UserError, match="/proc/x"):
        Store(Path("/proc/x")).create()


def test_a_store_exists_once_it_is_created(store: Store) -> None:
    store.root.mkdir()
    assert not store.exists()
    store.create()
    assert store.exists()
    assert store.tags() == {}


def test_a_folder_that_exists_is_not_overwritten(store: Store, put: Put, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        store.checkout(put("one"), tmp_path)


def test_what_a_killed_checkout_left_is_replaced(store: Store, put: Put, tmp_path: Path) -> None:
    (tmp_path / ".out.partial/half").mkdir(parents=True)

    store.checkout(put("one"), tmp_path / "out")

    assert (tmp_path / "out/engine.onnx").read_text() == "one"
    assert not (tmp_path / ".out.partial").exists()


def test_a_link_in_an_output_is_refused(
    store: Store, dataset: Path, provenance: Provenance, tree: Tree
) -> None:
    (dataset / "last.pth").symlink_to("best.pth")

    with pytest.raises(ValueError, match=r"last\.pth"):
        store.put("dataset", dataset, provenance, ["t"])

    assert store.find("t") is None
    assert not any((store.root / ".tmp").iterdir())


def test_a_newer_format_is_a_sentence(store: Store, put: Put) -> None:
    put("one", "t")
    rewrite_manifest(store, newer)

    with pytest.raises(UserError, match=r"engine in format 7") as caught:
        store.find("t")

    assert "update mmdet_jetson" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schemaVersion": 2}', None])
def test_a_broken_index_is_a_sentence(store: Store, put: Put, content: str | None) -> None:
    put("one", "t")
    path = store.root / "index.json"
    path.unlink()
    if content is not None:
        path.write_text(content)

    for use in (
        lambda: Store(store.root).find("t"),
        lambda: put("two"),
        lambda: store.gc(lambda _: False),
    ):
        with pytest.raises(UserError, match=r"index\.json is not the index") as caught:
            use()
    assert "invoke verify --mend" in caught.value.hint
    assert len(list((store.root / "blobs/sha256").iterdir())) == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
    ],
)
@pytest.mark.parametrize("call", [1, 2, 4])
def test_a_refused_write_leaves_the_store_as_it_was(
    store: Store,
    put: Put,
    dataset: Path,
    provenance: Provenance,
    *,
    monkeypatch: pytest.MonkeyPatch,
    tree: Tree,
    code: int,
    reason: str,
    call: int,
) -> None:
    """``call``: which sync fails: a layer's, a later one's, the last (of the index)."""
    put("one", "t")
    (dataset / "best.pth").unlink()
    for name in ("train", "val", "empty", "train.json"):
        path = dataset / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = tree(store.root)
    calls = iter(range(1, 100))

    def refuse(_: int) -> None:
        if next(calls) == call:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=reason) as caught:
        store.put("dataset", dataset, provenance, ["t", "u"])

    assert caught.value.hint
    assert tree(store.root) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(
    small_disk: Path, dataset: Path, provenance: Provenance, tmp_path: Path, tree: Tree
) -> None:
    store = Store(small_disk / "artifacts")
    artifact = store.put("dataset", dataset, provenance, ["t"])
    before = tree(store.root)
    (dataset / "last.pth").write_bytes(os.urandom(1_000_000))

    with pytest.raises(UserError, match="the disk is full"):
        store.put("dataset", dataset, provenance, ["u"])
    assert tree(store.root) == before
    with pytest.raises(UserError, match="the disk is full"):
        store.checkout(artifact, small_disk / "job/out")

    assert not any((small_disk / "job").iterdir())
    assert store.verify().problems == ()
    store.checkout(artifact, tmp_path / "out")


def test_a_read_only_disk_can_be_read(
    small_disk: Path, put: Put, provenance: Provenance, dataset: Path, tmp_path: Path
) -> None:
    store = Store(small_disk / "artifacts")
    artifact = store.put("dataset", dataset, provenance, ["t"])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    reader = Store(store.root)

    assert reader.find("t") == artifact
    reader.checkout(artifact, tmp_path / "out")
    assert reader.verify().problems == ()
    for write in (
        lambda: reader.put("dataset", dataset, provenance, ["u"]),
        lambda: reader.tag(artifact, "u"),
        lambda: reader.gc(lambda _: False),
    ):
        with pytest.raises(UserError, match="read-only"):
            write()


def skopeo(*arguments: str, cwd: Path) -> str:
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    return subprocess.run(
        ["skopeo", *arguments], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


def test_skopeo_inspects(store: Store, dataset: Path, provenance: Provenance) -> None:
    artifact = store.put("dataset", dataset, provenance, ["cache.1"])

    seen = json.loads(skopeo("inspect", "oci:artifacts:cache.1", cwd=store.root.parent))

    assert seen["Digest"] == artifact.digest
    assert seen["Layers"] == [layer.blob.digest for layer in artifact.layers]
    assert seen["Labels"]["mmdet-jetson.step"] == "train"
    raw = json.loads(skopeo("inspect", "--raw", "oci:artifacts:cache.1", cwd=store.root.parent))
    assert raw["artifactType"] == "application/vnd.mmdet-jetson.dataset.v1"


def test_skopeo_copies_to_a_store_and_back(
    store: Store, dataset: Path, provenance: Provenance, tmp_path: Path, tree: Tree
) -> None:
    artifact = store.put("dataset", dataset, provenance, ["a"])
    copy = ["copy", "-q", "--insecure-policy"]

    skopeo(*copy, "oci:artifacts:a", "dir:plain", cwd=tmp_path)
    skopeo(*copy, "dir:plain", "oci:second:b", cwd=tmp_path)

    second = Store(tmp_path / "second")
    copied = found(second, "b")
    assert copied.digest == artifact.digest
    second.checkout(copied, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(dataset)
    assert second.verify().problems == ()
    second.put("dataset", dataset, provenance, ["c"])
    assert second.find("c") == artifact


def test_oras_accepts_the_layout(store: Store, dataset: Path, provenance: Provenance) -> None:
    artifact = store.put("dataset", dataset, provenance, ["a"])

    layout = Layout(str(store.root), validate=True)

    order = layout.get_ordered_blobs("a")
    assert order[-1] == artifact.digest
    assert len(order) == len(artifact.layers) + 2


def test_importing_the_store_is_quick() -> None:
    code = "import sys, mmdet_jetson.store; print({'oras', 'requests'} & set(sys.modules))"

    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert seen.stdout.strip() == "set()"
