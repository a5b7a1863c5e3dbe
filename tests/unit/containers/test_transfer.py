import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdet_jetson.containers.transfer import ended, pack, pack_file, receive
from mmdet_jetson.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub/empty").mkdir(parents=True)
    (folder / "a").write_bytes(b"")
    (folder / "sub" / f"{'long' * 50}é").write_bytes(b"x" * 1_000_001)
    (folder / "block").write_bytes(b"y" * 512)
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_folder_comes_out_as_it_went_in(folder: Path, tmp_path: Path) -> None:
    receive(ended(pack(folder, "any")), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out"]


def test_a_tar_says_nothing_of_this_machine(folder: Path) -> None:
    (folder / "a").chmod(0o600)
    packed = b"".join(ended(pack(folder, "in", owner=10001)))
    os.utime(folder / "a", (1, 1))
    assert b"".join(ended(pack(folder, "in", owner=10001))) == packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
    assert {(each.uid, each.gid, each.mtime) for each in members} == {(10001, 10001, 0)}
    assert {each.mode for each in members} == {0o755, 0o644}


def test_a_link_to_a_file_is_that_file(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(folder / "block")
    receive(ended(pack(folder, "in")), tmp_path / "out")
    assert not (tmp_path / "out/link").is_symlink()
    assert (tmp_path / "out/link").read_bytes() == b"y" * 512


def test_one_file_takes_the_place_of_what_was_there(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    receive(ended(pack_file(folder / "block", "result.json")), tmp_path / "result.json")
    assert (tmp_path / "result.json").read_bytes() == b"y" * 512


def with_link() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        link = tarfile.TarInfo("out/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return packed.getvalue()


def test_a_link_changes_nothing_here(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    with pytest.raises(UserError, match="is a symbolic link"):
        receive([with_link()], tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield next(chunks)
    raise ConnectionError


def test_a_cut_line_changes_nothing_here(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ConnectionError):
        receive(cut(ended(pack(folder, "in"))), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out"]


def test_a_file_that_shrinks_is_no_whole_tar(folder: Path) -> None:
    stream = pack_file(folder / "block", "block")
    next(stream)
    os.truncate(folder / "block", 100)
    with pytest.raises(OSError, match="cut short"):
        list(stream)
