import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdet_jetson import tarballs
from mmdet_jetson.containers.transfer import receive
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
    receive(tarballs.archive(tarballs.folder(folder, "any")), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out"]


def test_one_file_takes_the_place_of_what_was_there(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    packed = tarballs.archive(tarballs.file(folder / "block", "result.json"))
    receive(packed, tmp_path / "result.json")
    assert (tmp_path / "result.json").read_bytes() == b"y" * 512


def test_names_that_only_another_file_system_confuses_come_out(tmp_path: Path) -> None:
    """What a stage may call its outputs must not depend on where it runs."""
    names = ["a.jpg", "A.JPG", "\u00e9", "e\u0301", "C:a", "a\\b", "Sub/1", "sub/1"]
    for name in names:
        (tmp_path / "folder" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "folder" / name).write_text(name)
    receive(tarballs.archive(tarballs.folder(tmp_path / "folder", "any")), tmp_path / "out")
    found = contents(tmp_path / "out")
    assert {name: found[name] for name in names} == {name: name.encode() for name in names}


def packed_twice() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("out/a", "out/a"):
            tar.addfile(tarfile.TarInfo(name))
    return packed.getvalue()


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its member 'out/a' is there twice\n"):
        receive([packed_twice()], tmp_path / "out")


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


def test_a_lost_connection_changes_nothing_here(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ConnectionError):
        receive(cut(tarballs.archive(tarballs.folder(folder, "in"))), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out"]
