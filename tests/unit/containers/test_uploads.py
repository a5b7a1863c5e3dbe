"""Inputs that share files with one that a Docker host has already: what is sent, what is copied."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from folder_docker_host import FolderDockerHost

from mmdet_jetson.containers import uploads
from mmdet_jetson.containers.objects import ConnectionLost, ContainerSpec, Exit
from mmdet_jetson.containers.uploads import CONTENT, COPY, WHOLE, notes_of
from mmdet_jetson.containers.workspace import Input, Workspace
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold
from mmdet_jetson.store import checkouts

JOB = "train-0123"
SPEC = ContainerSpec("image", ["run"])
LARGE = 1 << 20  # bytes, of each picture


@dataclass
class Listening(FolderDockerHost):
    """Keeps the names of the files that it was sent."""

    sent: list[str] = field(default_factory=list)
    copies: Callable[[], Exit] | None = None
    """What a container that copies does instead."""

    def put(self, container: str, path: str, tarball: Iterable[bytes]) -> None:
        packed = b"".join(tarball)
        with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
            self.sent += [each.name for each in opened if each.isfile()]
        super().put(container, path, [packed])

    def run(self, container: str, on_output: Callable[[int, bytes], None]) -> Exit:
        if self.copies and COPY in self.specs[container].command:
            return self.copies()
        return super().run(container, on_output)


@pytest.fixture(autouse=True)
def _pictures_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_WORTH", LARGE)


@pytest.fixture
def host(tmp_path: Path) -> Listening:
    return Listening(tmp_path / "host")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def workspace(host: Listening, tmp_path: Path, said: list[str]) -> Workspace:
    (tmp_path / "store/jobs").mkdir(parents=True)
    return host.workspace(tmp_path / "store", said.append)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three pictures, one of whose names is no text, and a file beside them."""
    folder = tmp_path / "data"
    (folder / "pictures/empty").mkdir(parents=True)
    for number, name in enumerate((b"a", "ü".encode(), b"\xff")):
        (folder / "pictures" / os.fsdecode(name)).write_bytes(bytes([number]) * LARGE)
    (folder / "labels.json").write_text("first")
    return folder


def upload(
    workspace: Workspace, folder: Path, digest: str, known: dict[str, str] | None = None
) -> Path:
    """Run a stage that does nothing with an input; return its volume's folder."""
    inputs = {"data": Input(digest, folder, known or {})}
    with workspace.stage(SPEC, JOB, inputs, resumable=False) as container:
        host: FolderDockerHost = workspace.host  # type: ignore[assignment]
        return host.volume_folders[host.specs[container].volumes[0].volume]


def add(folder: Path) -> None:
    (folder / "pictures/more").write_bytes(b"more")
    (folder / "labels.json").write_text("second, longer")


def assert_same(there: Path, here: Path) -> None:
    """Every file of an input is in its volume, and nothing else but what ends an upload."""
    found, given = (
        {path.relative_to(root): path.read_bytes() if path.is_file() else None
         for path in root.rglob("*")}
        for root in (there / CONTENT, here)
    )  # fmt: skip
    assert found == given
    assert (there / WHOLE).exists()


def test_only_what_changed_is_sent(
    workspace: Workspace, host: Listening, data: Path, said: list[str]
) -> None:
    assert_same(upload(workspace, data, "1"), data)
    first, host.sent = host.sent, []
    add(data)
    assert_same(upload(workspace, data, "2"), data)
    assert len(first) == 5
    assert host.sent == [".copy", f"{CONTENT}/labels.json", f"{CONTENT}/pictures/more", WHOLE]
    assert said == [
        "uploading data to pc",
        "copying 3 of 5 files of data on pc from an earlier upload",
        "uploading 2 of 5 files of data to pc",
    ]
    assert host.specs == {}
    copying = [spec for spec in host.created if COPY in spec.command]
    assert [spec.image for spec in copying] == ["image"]
    assert [mount.read_only for mount in copying[0].volumes] == [False, True]


def test_the_nearest_of_several_is_copied_from_and_a_new_name_is_no_new_content(
    workspace: Workspace, host: Listening, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/any").write_bytes(bytes(LARGE))
    far, near = upload(workspace, tmp_path / "one", "0"), upload(workspace, data, "1")
    (data / "pictures/a").rename(data / "pictures/z")
    host.sent = []
    assert_same(upload(workspace, data, "2"), data)
    assert host.sent == [".copy", WHOLE]
    copying = [spec for spec in host.created if COPY in spec.command]
    assert [spec.volumes[1].volume for spec in copying] == [far.name, near.name]


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "a folder"])
def test_what_was_damaged_there_is_sent_again(
    damage: str, workspace: Workspace, host: Listening, data: Path, said: list[str]
) -> None:
    wrong = upload(workspace, data, "1") / CONTENT / "pictures/a"
    if damage == "changed":
        wrong.write_bytes(bytes(LARGE - 1) + b"x")
    elif damage == "cut":
        wrong.write_bytes(bytes(10))
    else:
        wrong.unlink()
        if damage == "a folder":
            wrong.mkdir()
    add(data)
    host.sent = []
    assert_same(upload(workspace, data, "2"), data)
    assert f"{CONTENT}/pictures/a" in host.sent
    assert said[-1] == "uploading 3 of 5 files of data to pc"


@pytest.mark.parametrize("ending", [Exit(1, False), Exit(0, False)])
def test_where_no_container_can_copy_everything_is_sent(
    ending: Exit, workspace: Workspace, host: Listening, data: Path, said: list[str]
) -> None:
    upload(workspace, data, "1")
    add(data)
    host.copies, host.sent = lambda: ending, []
    assert_same(upload(workspace, data, "2"), data)
    assert len(host.sent) == 1 + 5 + 1
    assert said[-2].startswith("nothing can be copied on pc: a container that copies ")
    assert said[-1] == "uploading data to pc"


def test_a_copy_that_is_cut_off_is_cleared_and_made_again(
    workspace: Workspace, host: Listening, data: Path
) -> None:
    upload(workspace, data, "1")
    add(data)

    def cut() -> Exit:
        host.keeps_containers = True
        raise ConnectionLost("gone")

    host.copies = cut
    with pytest.raises(ConnectionLost):
        upload(workspace, data, "2")
    assert (len(host.specs), len(host.volume_folders)) == (2, 2)
    host.copies, host.keeps_containers = None, False
    workspace.sweep()
    assert (len(host.specs), len(host.volume_folders)) == (0, 1)
    assert_same(upload(workspace, data, "2"), data)


def test_an_earlier_upload_that_just_went_leaves_no_empty_volume(
    workspace: Workspace, host: Listening, data: Path, said: list[str]
) -> None:
    first = upload(workspace, data, "1")
    add(data)
    (first / WHOLE).unlink()  # as a new volume of that name has none
    assert_same(upload(workspace, data, "2"), data)
    assert "nothing can be copied on pc: the earlier upload is gone" in said
    assert first.name not in host.volume_folders


def test_one_that_is_being_uploaded_is_left_alone(
    workspace: Workspace, host: Listening, data: Path
) -> None:
    first = upload(workspace, data, "1")
    add(data)
    (first / WHOLE).unlink()
    with hold(workspace.root / f"jobs/{first.name}.uploading.lock"):
        assert_same(upload(workspace, data, "2"), data)
    assert first.name in host.volume_folders


@pytest.mark.parametrize("notes", [b"", b"no gzip", None])
def test_without_notes_everything_is_sent(
    notes: bytes | None, workspace: Workspace, host: Listening, data: Path
) -> None:
    file = notes_of(workspace.root / "uploads", upload(workspace, data, "1").name)
    assert file.exists()
    if notes is None:
        file.unlink()
    else:
        file.write_bytes(notes)
    add(data)
    host.sent = []
    assert_same(upload(workspace, data, "2"), data)
    assert len(host.sent) == 5 + 1


def test_notes_go_with_their_volume(workspace: Workspace, data: Path) -> None:
    upload(workspace, data, "1")
    assert len(list((workspace.root / "uploads").iterdir())) == 1
    assert workspace.forget_inputs() == 1
    assert list((workspace.root / "uploads").iterdir()) == []


def test_little_is_not_worth_a_container(
    workspace: Workspace, host: Listening, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (small / "a").write_text("a")
    upload(workspace, small, "1")
    (small / "b").write_text("b")
    upload(workspace, small, "2")
    assert all(COPY not in spec.command for spec in host.created)


def test_a_file_that_is_not_what_was_told_of_it_is_not_sent(
    workspace: Workspace, data: Path
) -> None:
    digest = hashlib.sha256(b"first").hexdigest()
    upload(workspace, data, "1", {"labels.json": digest})
    (data / "labels.json").write_text("not what was told")
    with pytest.raises(UserError, match=r"labels\.json is not what it was"):
        upload(workspace, data, "2", {"labels.json": digest})


def test_digests_of_a_shared_checkout_are_not_computed_again(
    workspace: Workspace, host: Listening, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    upload(workspace, data, "1")
    checkout = workspace.root / checkouts.FOLDER / "name"
    checkout.mkdir(parents=True)
    (data / "pictures").rename(checkout / "pictures")
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (checkout / "pictures").iterdir() if path.is_file()
    }  # fmt: skip
    checkouts._note(checkout / "pictures", files, checkouts._notes_of(checkout))
    job = tmp_path / "job"
    job.mkdir()
    (job / "pictures").symlink_to(checkout / "pictures")
    (job / "labels.json").write_text("third")
    read: list[str] = []

    def reading(path: Path) -> str:
        read.append(path.name)
        return "0"

    monkeypatch.setattr("mmdet_jetson.containers.uploads.sha256_of", reading)
    host.sent = []
    upload(workspace, job, "2")
    assert read == ["labels.json"]
    assert host.sent == [".copy", f"{CONTENT}/labels.json", WHOLE]
