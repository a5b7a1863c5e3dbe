"""A large directory in the store: several layers, one content."""

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import oras.utils
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_artifacts import Tree, blob_of, found, rewrite_manifest

import mmdet_jetson
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Artifact, Provenance, Store, layers, oci, shards
from mmdet_jetson.store.layers import HashingReader
from mmdet_jetson.store.oci import Manifest
from mmdet_jetson.store.shard_lists import ShardLists
from mmdet_jetson.store.shards import Entry, Shard
from mmdet_jetson.store.staged import Taken

SIZE = 6000  # bytes of a picture
Made = Callable[[str], Artifact]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LARGE", 200_000)
    monkeypatch.setattr(shards, "MEAN", 64_000)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A job's output with a large folder of pictures, and folders in it."""
    folder = tmp_path / "output"
    (folder / "train/more/empty").mkdir(parents=True)
    (folder / "train.json").write_text("{}")
    for number in range(120):
        add(folder, f"{number:03d}.jpg")
    add(folder, "more/ü.jpg")
    (folder / "train/more.jpg").write_bytes(b"")
    return folder


@pytest.fixture
def stored(store: Store, pictures: Path, provenance: Provenance) -> Made:
    return lambda tag: store.put("dataset", pictures, provenance, [tag])


def add(folder: Path, name: str) -> None:
    content = random.Random(name).randbytes(SIZE)
    (folder / "train" / name).write_bytes(content)


def blobs_of(artifact: Artifact) -> set[str]:
    return {layer.blob.digest for layer in artifact.parts(["train"])}


def size_on_disk(store: Store) -> int:
    return sum(path.stat().st_size for path in (store.root / "blobs/sha256").iterdir())


ENTRIES = st.lists(
    st.tuples(st.text("abc/", min_size=1, max_size=6), st.integers(0, 30_000)),
    unique_by=lambda each: each[0],
    min_size=2,
    max_size=60,
).map(lambda listed: sorted((Entry(p, "", n) for p, n in listed), key=shards.order))


def ends(runs: list[list[Entry]]) -> set[str]:
    return {run[-1].path for run in runs}


@settings(deadline=None)
@given(entries=ENTRIES, at=st.integers(0, 59), share=st.integers(1, 16))
def test_a_file_less_moves_no_boundary_but_its_own(
    entries: list[Entry], at: int, share: int
) -> None:
    gone, last = entries[at % len(entries)], entries[-1]
    mean = sum(each.weight for each in entries) * share // 4 + 1  # so that none is far too long

    before = shards.cut(entries, mean)
    after = shards.cut([each for each in entries if each is not gone], mean)

    assert [each for run in before for each in run] == entries
    own = {gone.path, last.path}
    assert ends(before) - own <= ends(after)
    assert ends(after) - own - {entries[-2].path} <= ends(before)


def test_what_changes_among_many_files_moves_few_boundaries() -> None:
    entries = [Entry(f"{number:06d}.jpg", "", number * 7919 % 200_000) for number in range(20_000)]
    rng = random.Random(0)
    changed = [each for each in entries if rng.random() > 0.0005]
    changed += [Entry(f"{rng.randrange(20_000):06d}b.jpg", "", 50_000) for _ in range(10)]
    changed.sort(key=shards.order)

    before, after = (shards.cut(each, 8 << 20) for each in (entries, changed))

    touched = len(entries) - len(changed) + 20
    assert len({tuple(run) for run in after} - {tuple(run) for run in before}) <= 2 * touched


def test_shards_are_of_the_size_that_is_wanted() -> None:
    entries = [Entry(f"{number:06d}.jpg", "", 100_000) for number in range(20_000)]

    runs = shards.cut(entries, 8 << 20)

    weights = [sum(each.weight for each in run) for run in runs]
    assert 6 << 20 < sum(weights) / len(weights) < 10 << 20
    assert max(weights) <= 32 << 20


def test_the_number_of_shards_is_bounded() -> None:
    many = [Entry("a", "", 50 << 30)]

    assert shards.mean_of(many) == 64_000 << 10
    assert shards.mean_of([Entry("a", "", 60 << 20)]) == 64_000


def test_what_went_in_comes_out(
    store: Store, stored: Made, pictures: Path, tmp_path: Path, tree: Tree
) -> None:
    artifact = stored("a")

    assert len(artifact.parts(["train"])) > 5
    again = found(Store(store.root), "a")
    assert again == artifact
    assert again.titles == {"train", "train.json"}
    assert [each.title for each in again.entries] == ["train", "train.json"]
    store.checkout(again, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(pictures)
    store.checkout(again, tmp_path / "part", ["train"])
    assert tree(tmp_path / "part").keys() == tree(pictures).keys() - {"train.json"}


def test_the_content_knows_nothing_of_shards(
    stored: Made,
    pictures: Path,
    provenance: Provenance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = stored("a")
    add(pictures, "1000.jpg")
    grown = stored("b")
    monkeypatch.setattr(shards, "MEAN", 20_000)
    anew = Store(tmp_path / "other").put("dataset", pictures, provenance, ["b"])

    assert blobs_of(grown) != blobs_of(anew)
    assert grown.content == anew.content != first.content
    assert grown.content_of(["train"]) == anew.content_of(["train"])


def test_a_directory_that_is_not_large_is_what_it_was(
    stored: Made, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest is that of its tar, as in all stores of before: its keys stay, too."""
    monkeypatch.setattr(shards, "LARGE", 1 << 40)
    artifact = stored("a")

    (layer,) = artifact.parts(["train"])
    tar = io.BytesIO()
    packed = layers.pack_entries("train", shards.entries_in(pictures / "train"), tar)
    assert packed == layer.content == layer.unpacked
    assert artifact.descriptor.artifact_type == "application/vnd.mmdet-jetson.dataset.v1"


def test_what_was_stored_whole_is_read_and_goes_on_in_shards(
    store: Store, stored: Made, pictures: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = pictures.parent
    with monkeypatch.context() as before:
        before.setattr(shards, "LARGE", 1 << 40)
        old = stored("old")
    new = stored("new")

    for artifact in (old, new):
        store.checkout(found(store, artifact.digest), tmp_path / artifact.digest[7:12])
        assert tree(tmp_path / artifact.digest[7:12]) == tree(pictures)
    assert new.descriptor.artifact_type == "application/vnd.mmdet-jetson.dataset.v2"


def test_ten_pictures_more_store_little_more_than_ten_pictures(
    store: Store, stored: Made, pictures: Path
) -> None:
    first = stored("a")
    before = size_on_disk(store)
    for number in range(10):
        add(pictures, f"{number * 11:03d}b.jpg")

    second = stored("b")

    assert len(blobs_of(second) - blobs_of(first)) <= 5
    assert blobs_of(first) < blobs_of(second)
    assert size_on_disk(store) - before < 10 * SIZE + 30_000


def test_a_picture_less_packs_its_shard_alone(store: Store, stored: Made, pictures: Path) -> None:
    first = stored("a")
    (pictures / "train/050.jpg").unlink()

    second = stored("b")

    assert len(blobs_of(first) - blobs_of(second)) == 1


def test_small_shards_are_packed_together(
    store: Store, stored: Made, pictures: Path, tmp_path: Path, tree: Tree
) -> None:
    stored("a")
    for number in range(40):
        add(pictures, f"x{number}.jpg")
        artifact = stored("b")
        assert len(artifact.parts(["train"])) < 40

    store.checkout(artifact, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(pictures)


def test_a_file_whose_digest_is_told_is_not_read_again(
    store: Store, pictures: Path, provenance: Provenance, tmp_path: Path
) -> None:
    (pictures / "train").rename(tmp_path / "own")
    taken = {
        f"train/{path.relative_to(tmp_path / 'own')}": Taken(
            str(path), hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in (tmp_path / "own").rglob("*.jpg")
    }
    first = store.put("dataset", pictures, provenance, ["a"], taken=taken)
    changed = tmp_path / "own/007.jpg"
    changed.write_bytes(b"x" * SIZE)

    second = store.put("dataset", pictures, provenance, ["b"], taken=taken)

    assert first.content == second.content
    assert blobs_of(first) == blobs_of(second)


def test_a_file_that_is_not_what_was_told_is_refused(
    store: Store, pictures: Path, provenance: Provenance, tmp_path: Path
) -> None:
    own = tmp_path / "own.jpg"
    own.write_bytes(b"x" * SIZE)
    taken = {"train/own.jpg": Taken(str(own), "0" * 64)}

    with pytest.raises(UserError, match=r"own\.jpg changed while it was read"):
        store.put("dataset", pictures, provenance, ["a"], taken=taken)
    assert store.tags() == {}


def test_that_holds_of_a_small_directory_as_well(
    store: Store, tmp_path: Path, provenance: Provenance
) -> None:
    output, own = tmp_path / "small", tmp_path / "own.jpg"
    output.mkdir()
    own.write_bytes(b"changed")

    told = hashlib.sha256(b"as told").hexdigest()
    with pytest.raises(UserError, match=r"own\.jpg changed while it was read"):
        store.put(
            "dataset", output, provenance, ["a"], taken={"train/own.jpg": Taken(str(own), told)}
        )
    assert store.tags() == {}


def test_a_file_that_is_gone_is_refused(
    store: Store, pictures: Path, provenance: Provenance, tmp_path: Path
) -> None:
    taken = {"train/own.jpg": Taken(str(tmp_path / "own.jpg"), "0" * 64)}

    with pytest.raises(UserError, match=r"own\.jpg changed while it was read"):
        store.put("dataset", pictures, provenance, ["a"], taken=taken)


@pytest.mark.parametrize("place", ["train/000.jpg", "train/../x", "train//x", "train/more/empty"])
def test_two_files_in_one_place_are_refused(
    store: Store, pictures: Path, provenance: Provenance, tmp_path: Path, place: str
) -> None:
    (tmp_path / "own").write_bytes(b"")
    place = "train/000.jpg/x" if place == "train/more/empty" else place

    with pytest.raises(ValueError, match=r"place|one name"):
        store.put("dataset", pictures, provenance, (), taken={place: Taken(str(tmp_path / "own"))})


def test_taken_files_make_the_same_bytes(
    store: Store, pictures: Path, provenance: Provenance, tmp_path: Path
) -> None:
    whole = store.put("dataset", pictures, provenance, ["a"])
    own = tmp_path / "own"
    taken = {}
    for path in sorted((pictures / "train").glob("0*.jpg")):
        own.mkdir(exist_ok=True)
        shutil.move(path, own / path.name)
        taken[f"train/{path.name}"] = Taken(str(own / path.name))

    again = Store(tmp_path / "other").put("dataset", pictures, provenance, ["a"], taken=taken)

    assert again.digest == whole.digest


@pytest.mark.parametrize("how", ["flip", "remove"])
def test_a_damaged_shard_is_found_mended_and_made_again(
    store: Store, stored: Made, pictures: Path, tree: Tree, how: str
) -> None:
    out = pictures.with_name("out")
    artifact = stored("a")
    layer = artifact.parts(["train"])[3]
    path = blob_of(store, layer.blob.digest)
    path.chmod(0o644)
    if how == "flip":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"train of dataset .* is damaged"):
            store.checkout(artifact, out)
        assert not out.exists()
        path.write_bytes(content)
    else:
        path.unlink()

    problems = store.verify(mend=True).problems

    assert [each.where for each in problems] == ["train of a"]
    assert store.find("a") is None
    add(pictures, "1000.jpg")
    stored("b")
    assert path.exists()
    assert store.verify().problems == ()
    stored("a")
    store.checkout(found(store, "a"), out)
    assert tree(out) == tree(pictures)


def test_the_lists_of_shards_are_a_cache(store: Store, stored: Made, pictures: Path) -> None:
    first = stored("a")
    for number, path in enumerate(sorted((store.root / ".shards").iterdir())):
        path.unlink() if number % 2 else path.write_bytes(b"damaged")

    layer = first.parts(["train"])[0]
    lists = ShardLists(store._layout)
    told = lists.of(layer)

    assert told.files.items() <= {
        str(path.relative_to(pictures / "train")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (pictures / "train").rglob("*.jpg")
    }.items() | {("more/empty/", "")}
    assert stored("a").content == first.content
    files = {k: v for each in first.parts(["train"]) for k, v in lists.of(each).files.items()}
    assert shards.tree_of(files) == layer.tree


def test_collection_takes_shards_that_nothing_needs(
    store: Store, stored: Made, pictures: Path
) -> None:
    first = stored("a")
    (pictures / "train/050.jpg").unlink()
    second = stored("b")

    freed = store.gc(lambda tag: tag == "b")

    assert freed.blobs == len(blobs_of(first) - blobs_of(second)) + 2
    assert store.verify().problems == ()
    assert {path.name for path in (store.root / ".shards").iterdir()} == {
        digest[7:] for digest in blobs_of(second)
    }


def test_oras_unpacks_all_shards_into_one_directory(
    store: Store, stored: Made, pictures: Path, tmp_path: Path, tree: Tree
) -> None:
    """As `oras.provider.Registry.pull` does it, which titles lead."""
    out = tmp_path / "pulled"
    out.mkdir()
    for layer in stored("a").layers:
        title = (layer.blob.annotations or {})[oci.TITLE]
        place = oras.utils.sanitize_path(str(out), os.path.join(out, title))  # noqa: PTH118
        blob = blob_of(store, layer.blob.digest)
        if layer.is_directory:
            oras.utils.extract_targz(str(blob), str(Path(place).parent))
        else:
            shutil.copy(blob, place)

    assert tree(out) == tree(pictures)
    titles = [(layer.blob.annotations or {})[oci.TITLE] for layer in stored("a").layers]
    assert len(set(titles)) == len(titles)


def test_a_shard_is_the_same_bytes_whatever_zlib_there_is(
    store: Store, stored: Made, pictures: Path
) -> None:
    layer = max(stored("a").parts(["train"]), key=lambda each: each.blob.size)
    content = blob_of(store, layer.blob.digest).read_bytes()

    assert content[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert content[10:15] == b"\0\xff\xff\0\0"
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        assert tar.getnames()[0] == "train"
    reader = HashingReader(io.BytesIO(content), layer.blob.digest)
    assert dict(layers.file_digests(reader))


def _without_trees(manifest: Manifest, _: Store) -> Manifest:
    return msgspec.structs.replace(manifest, annotations=None)


def _twice(manifest: Manifest, _: Store) -> Manifest:
    file = manifest.layers[-1]
    other = msgspec.structs.replace(file, annotations={oci.TITLE: "train"})
    return msgspec.structs.replace(manifest, layers=[*manifest.layers, other])


def _outside(manifest: Manifest, _: Store) -> Manifest:
    first, *rest = manifest.layers
    title = (first.annotations or {}) | {oci.TITLE: f"{'0' * 12}/../.."}
    return msgspec.structs.replace(
        manifest,
        layers=[msgspec.structs.replace(first, annotations=title), *rest],
        annotations={"mmdet-jetson.tree...": f"sha256:{'0' * 64}"},
    )


@pytest.mark.parametrize("change", [_without_trees, _twice, _outside])
def test_shards_that_contradict_themselves_are_no_artifact(
    store: Store, stored: Made, change: Callable[[Manifest, Store], Manifest]
) -> None:
    stored("a")

    rewrite_manifest(store, change)

    assert store.find("a") is None
    assert store.verify().problems


WRITER = """
import sys
from pathlib import Path
from mmdet_jetson.store import Provenance, Store, shards

shards.LARGE, shards.MEAN = 200_000, 64_000
store, folder = Store(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
for number in range(10_000):
    (folder / f"train/{number % 7:03d}.jpg").write_bytes(bytes([number % 251]) * 6000)
    made = Provenance(stage="dataset", step="dataset", created="2024-05-01T10:00:00Z")
    store.put("dataset", folder, made, ["latest"])
    if number % 5 == 4:
        store.gc(lambda tag: tag == "latest")
"""


def test_killed_while_shards_are_written(
    store: Store, stored: Made, pictures: Path, tmp_path: Path, tree: Tree
) -> None:
    rng = random.Random(0)
    source = str(Path(mmdet_jetson.__file__).parents[1])
    for round_ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.root), str(pictures)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": source},
        ) as writer:
            assert writer.stdout
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.3))
            writer.send_signal(signal.SIGKILL)
        assert Store(store.root).verify().problems == (), round_
    artifact = stored("end")

    store.checkout(artifact, tmp_path / "out")

    assert tree(tmp_path / "out") == tree(pictures)


def test_a_shard_in_two_pieces_is_taken_once() -> None:
    entries = [Entry(name, "", 10, name * 64) for name in "abc"]
    one = Shard("train", "sha256:1", 30, "", {"a": "a" * 64, "b": "b" * 64})
    other = Shard("train", "sha256:2", 20, "", {"b": "b" * 64, "c": "c" * 64})
    changed = Shard("train", "sha256:3", 99, "", {"a": "0" * 64})

    assert shards.covering(entries, [other, changed, one], 1) == [one]


def test_what_inspect_shows_is_small(store: Store, stored: Made) -> None:
    artifact = stored("a")

    manifest = blob_of(store, artifact.digest).read_bytes()

    assert len(manifest) < 1000 + 450 * len(artifact.layers)
    assert json.loads(manifest)["annotations"].keys() == {"mmdet-jetson.tree.train"}


@pytest.fixture
def annotated(pictures: Path) -> Path:
    """A job's output with an annotation file that is worth compressing, and one that is not."""
    rows = [{"id": number, "bbox": [number, 7, 30, 40]} for number in range(6000)]
    (pictures / "train.json").write_text(json.dumps(rows))
    (pictures / "val.json").write_text("[]")
    return pictures


def test_large_annotations_beside_shards_are_compressed(
    store: Store, annotated: Path, provenance: Provenance, tmp_path: Path
) -> None:
    content = (annotated / "train.json").read_bytes()
    artifact = store.put("dataset", annotated, provenance, ["one"])
    (large,), (small,) = artifact.parts(["train.json"]), artifact.parts(["val.json"])
    assert large.blob.size * 4 < len(content)
    assert large.content == f"sha256:{hashlib.sha256(content).hexdigest()}"  # so no key changes
    assert not small.is_compressed
    reread = found(Store(store.root), "one")
    assert reread.content == artifact.content
    assert store.read(reread, "train.json") == content
    store.checkout(reread, tmp_path / "out")
    assert (tmp_path / "out/train.json").read_bytes() == content
    assert not store.verify().problems


def test_another_annotation_is_another_content(
    store: Store, annotated: Path, provenance: Provenance
) -> None:
    before = store.put("dataset", annotated, provenance, ["one"])
    text = (annotated / "train.json").read_text()
    (annotated / "train.json").write_text(text.replace("[5999, 7", "[5999, 8"))
    after = store.put("dataset", annotated, provenance, ["two"])
    assert after.content != before.content
    assert blobs_of(after) == blobs_of(before)
    assert store.read(before, "train.json") == text.encode()


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_compressed_annotations_that_are_not_theirs_are_refused(
    store: Store, annotated: Path, provenance: Provenance, damage: str
) -> None:
    artifact = store.put("dataset", annotated, provenance, ["one"])
    (layer,) = artifact.parts(["train.json"])
    whole = gzip.decompress(store.file_of(layer).read_bytes())
    blob = gzip.compress(whole)[:-9] if damage == "cut" else gzip.compress(b"[]")
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    (store.root / "blobs" / digest.replace(":", "/")).write_bytes(blob)
    other = msgspec.structs.replace(layer.blob, digest=digest, size=len(blob))
    lying = replace(artifact, layers=(replace(layer, blob=other),))
    with pytest.raises(UserError, match=r"train\.json .* is damaged: .*(decompress|match)"):
        store.read(lying, "train.json")


def test_json_without_shards_beside_it_stays_as_it_is(
    store: Store, annotated: Path, provenance: Provenance
) -> None:
    shutil.rmtree(annotated / "train")
    artifact = store.put("dataset", annotated, provenance, ["one"])
    assert artifact.descriptor.artifact_type == "application/vnd.mmdet-jetson.dataset.v1"
    assert not any(layer.is_compressed for layer in artifact.layers)
