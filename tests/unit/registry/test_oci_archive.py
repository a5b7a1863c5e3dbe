"""A layout in a tar: written in one go, read where it lies, refused where it is something else."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import portalocker
import pytest
from small_artifacts import blob_of
from small_runs import Run, is_clean, manifests

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.archive import read_archive, write_archive
from mmdet_jetson.registry.moving import Moved
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mugs.tar"


def push_to(run: Run, file: Path, *names: str) -> Moved:
    with write_archive("oci-archive:mugs.tar", file) as place:
        return push(run.store, names, place)


def pull_from(file: Path, store: Store, *names: str) -> Moved:
    with read_archive("oci-archive:mugs.tar", file) as place:
        return pull(place, names, store)


def test_a_run_goes_through_an_archive(run: Run, file: Path, second: Store) -> None:
    assert push_to(run, file, "mugs") == pull_from(file, second, "mugs")

    assert manifests(second) == manifests(run.store)
    assert second.tags() == run.store.tags()
    assert is_clean(second)
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == ["mugs.tar"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_it_is_a_layout_once_it_is_unpacked(run: Run, file: Path, tmp_path: Path) -> None:
    push_to(run, file, "mugs")
    with tarfile.open(file) as tar:
        tar.extractall(tmp_path / "out")
    assert is_clean(Store(tmp_path / "out"))
    assert manifests(Store(tmp_path / "out")) == manifests(run.store)


def test_one_that_exists_is_not_touched(run: Run, file: Path) -> None:
    file.write_text("dear")
    with pytest.raises(UserError, match="exists already, and an archive is written once"):
        push_to(run, file, "mugs")
    assert file.read_text() == "dear"


def test_nothing_is_left_of_one_that_fails(run: Run, file: Path) -> None:
    blob = blob_of(run.store, run.made["train"].layers[0].blob.digest)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.write(b"x")
    with pytest.raises(PlaceError, match="is damaged here"):
        push_to(run, file, "mugs")
    assert [path for path in file.parent.iterdir() if path.is_file()] == []


def test_what_a_killed_push_left_is_no_matter(run: Run, file: Path, second: Store) -> None:
    file.with_name(".mugs.tar.partial").write_bytes(b"x" * 10_000_000)
    push_to(run, file, "mugs")
    pull_from(file, second, "mugs")
    assert is_clean(second)
    assert not file.with_name(".mugs.tar.partial").exists()


def test_one_writes_at_a_time(run: Run, file: Path) -> None:
    with (
        write_archive("oci-archive:mugs.tar", file),
        pytest.raises(UserError, match="another run is writing"),
    ):
        push_to(run, file, "mugs")


def test_a_lock_on_what_another_has_finished_is_none(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, the other gives it its place, or removes it."""
    lock = portalocker.lock

    def late(stream: IO[bytes], flags: portalocker.LockFlags) -> None:
        file.with_name(".mugs.tar.partial").unlink()
        lock(stream, flags)

    monkeypatch.setattr(portalocker, "lock", late)
    with (
        pytest.raises(UserError, match="another run is writing"),
        write_archive("oci-archive:mugs.tar", file),
    ):
        pass
    assert not file.exists()


def test_a_folder_is_needed(run: Run, file: Path) -> None:
    with pytest.raises(UserError, match="there is no folder for it"):
        push_to(run, file.with_name("nowhere") / "mugs.tar", "mugs")
    with pytest.raises(UserError, match="there is no archive at"):
        pull_from(file, run.store, "mugs")


Members = list[tuple[tarfile.TarInfo, bytes]]


def repacked(file: Path, change: Callable[[Members], Members]) -> None:
    with tarfile.open(file) as tar:
        members = [(each, tar.extractfile(each).read()) for each in tar]  # type: ignore[union-attr]
    with tarfile.open(file, "w") as tar:
        for member, content in change(members):
            tar.addfile(member, io.BytesIO(content))


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = ""
) -> Callable[[Members], Members]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return lambda all_: [*all_, (info, b"")]


INDEX = "blobs/sha256/" + "0" * 64


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (member("../x"), r"its member '\.\./x' is no plain file of an OCI layout"),
        (member("/etc/passwd"), "no plain file of an OCI layout"),
        (member("blobs/sha256/../../x"), "no plain file of an OCI layout"),
        (member("letter.txt"), "no plain file of an OCI layout"),
        (member(INDEX, tarfile.SYMTYPE, "/etc/passwd"), "no plain file of an OCI layout"),
        (member(INDEX, tarfile.LNKTYPE, "index.json"), "no plain file of an OCI layout"),
        (member(INDEX, tarfile.FIFOTYPE), "no plain file of an OCI layout"),
        (member("blobs/sha256", tarfile.SYMTYPE, "/"), "no plain file of an OCI layout"),
        (member("index.json"), "holds index.json twice"),
        (lambda all_: [each for each in all_ if each[0].name != "index.json"], "holds no OCI layout"),
        (lambda all_: [each for each in all_ if each[0].name != "oci-layout"], "holds no OCI layout"),
    ],
)  # fmt: skip
def test_what_is_no_layout_is_refused(
    run: Run, file: Path, second: Store, change: Callable[[Members], Members], reason: str
) -> None:
    push_to(run, file, "mugs")
    repacked(file, change)
    with pytest.raises(UserError, match=reason):
        pull_from(file, second, "mugs")
    assert not second.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as a tar"),
        (b"<html>" * 200, "cannot be read as a tar"),
        (b"\x1f\x8b" + b"x" * 2000, "cannot be read as a tar without compression"),
    ],
)
def test_what_is_no_archive_is_refused(
    file: Path, second: Store, content: bytes, reason: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        pull_from(file, second, "mugs")


def test_one_that_is_cut_short_is_refused(run: Run, file: Path, second: Store) -> None:
    push_to(run, file, "mugs")
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(UserError, match=r"cut short|cannot be read|holds no OCI layout"):
        pull_from(file, second, "mugs")
    assert not second.exists()


def test_folders_are_fine(run: Run, file: Path, second: Store) -> None:
    push_to(run, file, "mugs")

    def with_folders(all_: Members) -> Members:
        folders = [tarfile.TarInfo(name) for name in (".", "./blobs", "./blobs/sha256/")]
        for each in folders:
            each.type = tarfile.DIRTYPE
        for info, _ in all_:
            info.name = f"./{info.name}"
        return [*((each, b"") for each in folders), *all_]

    repacked(file, with_folders)
    pull_from(file, second, "mugs")
    assert is_clean(second)


def test_a_wrong_blob_is_refused(run: Run, file: Path, second: Store) -> None:
    push_to(run, file, "mugs")
    content = file.read_bytes().replace(b"engine" * 1000, b"ENGINE" * 1000)
    file.write_bytes(content)
    with pytest.raises(PlaceError, match="does not match its digest"):
        pull_from(file, second, "mugs")
    assert second.tags() == {}


def test_it_is_only_read(run: Run, file: Path) -> None:
    push_to(run, file, "mugs")
    with read_archive("oci-archive:mugs.tar", file) as place:
        descriptor = place.resolve("mugs.train")
        assert descriptor
        with pytest.raises(PlaceError, match="only read"):
            place.write(descriptor, file, lambda _: None)
        content = place.manifest("mugs.train")
        assert content
        with pytest.raises(PlaceError, match="only read"):
            place.put_manifest(content, ["x"])
