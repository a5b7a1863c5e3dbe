import errno
import io
import os
import tempfile
from pathlib import Path

import pytest

from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors, folder_to_write, make_folder, move_new, remove


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOTDIR, "a part of its path is a file, not a folder"),
        (errno.EACCES, "permission is missing"),
        (errno.ENAMETOOLONG, "a name in it is too long"),
    ],
)
def test_what_a_disk_refuses_is_a_sentence(code: int, reason: str) -> None:
    for file, what in (("/a/file", "/a/file"), (None, "the store")):
        sentence = f"cannot read or write {what}: {reason}"
        with pytest.raises(UserError, match=sentence) as caught, disk_errors("the store"):
            raise OSError(code, os.strerror(code), file)
        assert caught.value.hint


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(FileNotFoundError), disk_errors("the store"):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b")
    make_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()
    with pytest.raises(UserError, match="/proc/a cannot be created: No such file"):
        make_folder(Path("/proc/a"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file cannot be created: File exists"):
        make_folder(tmp_path / "file")


def test_anything_is_removed_but_not_what_a_link_leads_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (tmp_path / "folder/inner").mkdir(parents=True)
    (tmp_path / "folder/inner/file").touch()
    (tmp_path / "folder/inner").chmod(0o555)
    kept.mkdir()
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "file").touch()
    for name in ("folder", "link", "file", "absent"):
        remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_place_that_cannot_be_written_is_refused_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("link").symlink_to("nowhere")
    for named, reason in (
        ("file/inside/x", "a part of its path is a file, not a folder"),
        ("link/x", "No such file or directory"),
        ("/proc/x", "No such file or directory"),
        ("x" * 300, "a name in it is too long"),
        ("x" * 300 + "/x", "a name in it is too long"),
    ):
        with pytest.raises(UserError, match=f"^{named} cannot be written: {reason}") as refused:
            folder_to_write(named, tmp_path / "store", new=True)
        assert refused.value.hint == "name another folder"
    for named in ("file", "link"):
        with pytest.raises(UserError, match=f"^{named} exists already"):
            folder_to_write(named, tmp_path / "store", new=True)
    assert folder_to_write("a/b", tmp_path / "store", new=True) == tmp_path / "a/b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_the_store_is_no_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Path("disk/artifacts").absolute()
    Path("link").symlink_to("disk/artifacts")
    # A store is made by the first run: it may not be there yet.
    with pytest.raises(UserError, match=r"^disk will hold this machine's store"):
        folder_to_write("disk", store, new=True)
    (store / "blobs").mkdir(parents=True)
    for named, where in (
        ("disk/artifacts", ""),
        ("disk/artifacts/", ""),
        ("link", ""),
        ("link/x/y", "inside "),
        ("disk/artifacts/x", "inside "),
        ("disk/x/../artifacts/blobs", "inside "),
    ):
        for new in (False, True):
            with pytest.raises(UserError, match=f"^{named} is {where}this machine's store"):
                folder_to_write(named, store, new=new)
    # The store by a link to it, and a folder called almost like it.
    with pytest.raises(UserError, match="is inside this machine's store"):
        folder_to_write("disk/artifacts/x", Path("link").absolute())
    assert folder_to_write("disk/artifacts2", store, new=True) == tmp_path / "disk/artifacts2"
    # Beside the store there is room for a serving pipeline's files.
    assert folder_to_write("disk", store) == tmp_path / "disk"


def test_a_full_disk_is_found_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: io.FileIO("/dev/full", "w"))
    with pytest.raises(UserError, match="usb/x cannot be written: the disk is full"):
        folder_to_write("usb/x", tmp_path / "store", new=True)


def test_who_comes_second_is_told_so(tmp_path: Path) -> None:
    for name in ("made", "there"):
        (tmp_path / name / "inner").mkdir(parents=True)
    with pytest.raises(UserError, match="there exists by now"):
        move_new(tmp_path / "made", tmp_path / "there")
