import gzip
import io
import os
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdet_jetson.store.layers import Damaged, HashingReader, HashingWriter, pack_entries, unpack
from mmdet_jetson.store.oci import digest_of
from mmdet_jetson.store.shards import entries_in

Content = bytes | dict[str, "Content"]
"""Of a file, or of a folder by its entries' names."""
Tree = Callable[[Path], dict[str, bytes | None]]

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 255)
TREES: st.SearchStrategy[Content] = st.recursive(
    st.binary(max_size=2000),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


def grow(folder: Path, content: Content, backwards: bool = False) -> None:
    if isinstance(content, bytes):
        folder.write_bytes(content)
        return
    folder.mkdir()
    items = list(content.items())
    for name, inner in reversed(items) if backwards else items:
        grow(folder / name, inner, backwards)


def packed(folder: Path) -> tuple[bytes, str]:
    blob = io.BytesIO()
    content = pack_entries(folder.name, entries_in(folder), HashingWriter(blob))
    return blob.getvalue(), content


def reader(blob: bytes) -> HashingReader:
    return HashingReader(io.BytesIO(blob), digest_of(blob))


def archive(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=TREES)
def test_same_tree_same_bytes_and_back(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree, content: Content
) -> None:
    base = tmp_path_factory.mktemp("tar")
    (base / "one").mkdir()
    (base / "two").mkdir()
    grow(base / "one/train", content)
    grow(base / "two/train", content, backwards=True)
    os.utime(base / "two/train", (1, 1))
    (base / "two/train").chmod(0o700)

    blob, digest = packed(base / "one/train")

    assert packed(base / "two/train") == (blob, digest)
    unpack(reader(blob), base, "train")
    assert tree(base / "train") == tree(base / "one/train")


def test_a_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.jpg")
    (folder / name).write_bytes(b"x")
    (tmp_path / "out").mkdir()

    unpack(reader(packed(folder)[0]), tmp_path / "out", "train")

    assert [path.name for path in (tmp_path / "out/train").iterdir()] == [name]


def test_a_path_longer_than_the_tar_header_survives(tmp_path: Path) -> None:
    deep = tmp_path / "train" / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / ("f" * 200)).write_bytes(b"x")
    (tmp_path / "out").mkdir()

    unpack(reader(packed(tmp_path / "train")[0]), tmp_path / "out", "train")

    assert (tmp_path / "out" / deep.relative_to(tmp_path) / ("f" * 200)).read_bytes() == b"x"


def test_gnu_tar_reads_it(tmp_path: Path, dataset: Path, tree: Tree) -> None:
    (tmp_path / "blob").write_bytes(packed(dataset / "train")[0])
    (tmp_path / "out").mkdir()

    subprocess.run(["tar", "xzf", "blob", "-C", "out"], cwd=tmp_path, check=True)

    assert tree(tmp_path / "out/train") == tree(dataset / "train")


def test_oras_reads_the_whole_tar_it_compares(dataset: Path) -> None:
    """ORAS hashes up to the two zero blocks: more padding, and its digest would differ."""
    blob, content = packed(dataset / "train")
    tar = gzip.decompress(blob)

    assert digest_of(tar) == content
    assert tar.endswith(bytes(1024))
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        last = opened.getmembers()[-1]
    assert len(tar) == last.offset_data + -(-last.size // 512) * 512 + 1024


def test_the_digest_is_the_one_that_stores_hold(dataset: Path) -> None:
    """With another one every artifact, key and release of before would be another."""
    known = "sha256:4e59e3a8a826c4b240ba8882de9533ba4b0e7d49702ce650bf3c30635f5bbcf0"
    assert packed(dataset / "train")[1] == known


def test_owner_time_and_mode_are_fixed(dataset: Path) -> None:
    (dataset / "train/a.jpg").chmod(0o400)

    with tarfile.open(fileobj=io.BytesIO(packed(dataset / "train")[0])) as tar:
        members = tar.getmembers()

    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert {m.mode for m in members if m.isfile()} == {0o644}
    assert {m.mode for m in members if m.isdir()} == {0o755}


@pytest.mark.parametrize("make", ["symlink", "fifo", "link-to-folder"])
def test_only_files_and_directories_are_packed(dataset: Path, make: str) -> None:
    path = dataset / "train/odd"
    if make == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(dataset / ("val" if make == "link-to-folder" else "val.json"))

    with pytest.raises(ValueError, match="plain files and directories only"):
        packed(dataset / "train")


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil", size=1)],
        [member("/train/evil", size=1)],
        [member("val/evil", size=1)],
        [member("train", tarfile.DIRTYPE), member("train/../../evil", size=1)],
        [member("train", tarfile.DIRTYPE), member("train/x", tarfile.SYMTYPE, linkname="/etc")],
        [
            member("train", tarfile.DIRTYPE),
            member("train/x", tarfile.LNKTYPE, linkname="/etc/passwd"),
        ],
        [member("train", tarfile.DIRTYPE), member("train/x", tarfile.CHRTYPE)],
        [member("train", tarfile.DIRTYPE), member("train/a", size=1), member("train/a", size=1)],
    ],
    ids=["parent", "absolute", "sibling", "dots", "symlink", "hardlink", "device", "twice"],
)
def test_a_hostile_archive_is_refused(
    tmp_path: Path, members: list[tarfile.TarInfo], tree: Tree
) -> None:
    out = tmp_path / "inner/out"
    out.mkdir(parents=True)

    with pytest.raises(Damaged):
        unpack(reader(archive(*members)), out, "train")

    assert not any("evil" in path for path in tree(tmp_path))


@pytest.mark.parametrize("damage", ["flip", "cut", "append", "empty", "noise"])
def test_a_damaged_archive_is_refused(tmp_path: Path, dataset: Path, damage: str) -> None:
    blob, _ = packed(dataset / "train")
    digest = digest_of(blob)
    middle = len(blob) // 2
    damaged = {
        "flip": blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :],
        "cut": blob[:middle],
        "append": blob + b"x",
        "empty": b"",
        "noise": os.urandom(len(blob)),
    }[damage]
    (tmp_path / "out").mkdir()

    with pytest.raises(Damaged):
        unpack(HashingReader(io.BytesIO(damaged), digest), tmp_path / "out", "train")


def test_a_big_directory_needs_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    def peak_of(files: int) -> int:
        base = tmp_path / str(files)
        (base / "train").mkdir(parents=True)
        (base / "out").mkdir()
        for number in range(files):
            (base / "train" / f"{number:06}.jpg").write_bytes(bytes(20_000))
        blob, _ = packed(base / "train")
        tracemalloc.start()
        unpack(reader(blob), base / "out", "train")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # The 800 files more are 16 MB; other tests' garbage may be collected in between.
    assert peak_of(1000) < peak_of(200) + 1_000_000
