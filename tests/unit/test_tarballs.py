import io
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from mmdet_jetson import tarballs
from mmdet_jetson.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub/empty").mkdir(parents=True)
    (folder / "a").write_bytes(b"")
    (folder / "sub" / f"{'long' * 50}é").write_bytes(b"x" * 1_000_001)
    (folder / "block").write_bytes(b"y" * 512)
    return folder


def packed(folder: Path, owner: int = 0) -> bytes:
    return b"".join(tarballs.archive(tarballs.folder(folder, "in", owner)))


def members(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.getmembers()


def test_a_folder_is_packed_sorted_with_all_that_is_in_it(folder: Path) -> None:
    names = [each.name for each in members(packed(folder))]
    assert names == ["in", "in/a", "in/block", "in/sub", "in/sub/empty", f"in/sub/{'long' * 50}é"]


def test_contents_come_out_as_they_went_in(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(folder))) as tar:
        tar.extractall(tmp_path / "out")
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 3
    for each in files:
        assert (tmp_path / "out/in" / each).read_bytes() == (folder / each).read_bytes()


def test_nothing_of_this_machine_is_in_it(folder: Path) -> None:
    (folder / "a").chmod(0o600)
    before = packed(folder, owner=10001)
    os.utime(folder / "a", (1, 1))
    (folder / "sub").chmod(0o700)
    assert packed(folder, owner=10001) == before
    found = members(before)
    assert {(each.uid, each.gid, each.uname, each.mtime) for each in found} == {
        (10001, 10001, "", 0)
    }
    assert {each.mode for each in found} == {0o755, 0o644}


def test_a_link_to_a_file_is_packed_as_that_file(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "block")
    (link,) = (each for each in members(packed(folder)) if each.name == "in/link")
    assert (link.isreg(), link.size) == (True, 512)


def test_a_link_to_a_folder_is_packed_as_that_folder(folder: Path) -> None:
    real = (folder / "sub").rename(folder.parent / "elsewhere")
    before = [each.name for each in members(packed(folder))]
    (folder / "sub").symlink_to(real)
    names = [each.name for each in members(packed(folder)) if each.name not in before]
    assert names == ["in/sub", "in/sub/empty", f"in/sub/{'long' * 50}é"]


def test_a_link_that_leads_in_a_circle_is_packed_empty(folder: Path) -> None:
    (folder / "sub/circle").symlink_to(folder)
    names = [each.name for each in members(packed(folder)) if "circle" in each.name]
    assert names == ["in/sub/circle"]


def test_a_program_keeps_its_mode(folder: Path) -> None:
    parts = [tarballs.file(folder / "a", "run", mode=0o755), [tarballs.small_file("mark")]]
    run, mark = members(b"".join(tarballs.archive(*parts)))
    assert (run.name, run.mode) == ("run", 0o755)
    assert (mark.name, mark.size) == ("mark", 0)


@pytest.mark.parametrize("size", [100, 513])
def test_a_file_that_changes_meanwhile_is_named(folder: Path, size: int) -> None:
    stream = tarballs.file(folder / "block", "block")
    next(stream)
    with (folder / "block").open("r+b") as file:
        file.truncate(size)
    with pytest.raises(UserError, match="block changed while it was read"):
        list(stream)


def test_a_big_file_needs_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    def peak_of(size: int) -> int:
        path = tmp_path / str(size)
        with path.open("wb") as stream:
            stream.truncate(size)
        tracemalloc.start()
        assert sum(map(len, tarballs.file(path, "big"))) >= size
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_of(64 << 20) < peak_of(4 << 20) + tarballs.BLOCK
