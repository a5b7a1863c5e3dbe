import errno
import os
from pathlib import Path

import pytest

from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors, make_folder, remove


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOTDIR, "a part of its path is a file, not a folder"),
        (errno.EACCES, "permission is missing"),
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
