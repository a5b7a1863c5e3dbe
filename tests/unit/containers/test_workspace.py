from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from folder_docker_host import FolderDockerHost

from mmdet_jetson.containers.objects import (
    ConnectionLost,
    ContainerSpec,
    DockerHostError,
    VolumeMount,
)
from mmdet_jetson.containers.uploads import CONTENT, WHOLE
from mmdet_jetson.containers.workspace import VOLUME, Input, Workspace
from mmdet_jetson.locks import hold, lock_beside

JOB = "train-0123"
SPEC = ContainerSpec("image", ["run"])


def nothing() -> None: ...


@pytest.fixture
def host(tmp_path: Path) -> FolderDockerHost:
    return FolderDockerHost(tmp_path / "host")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def workspace(host: FolderDockerHost, tmp_path: Path, said: list[str]) -> Workspace:
    (tmp_path / "store/jobs").mkdir(parents=True)
    return host.workspace(tmp_path / "store", said.append)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.pth").write_text("weights")
    return tmp_path / "data"


def cut(message: str = "gone") -> Callable[[], None]:
    """What a Docker host does that is out of reach."""

    def cut() -> None:
        raise ConnectionLost(message)

    return cut


def upload(workspace: Workspace, folder: Path, digest: str = "1", name: str = "x") -> VolumeMount:
    """Run a stage that does nothing with an input; return what its container had mounted."""
    host = cast("FolderDockerHost", workspace.host)
    inputs = {name: Input(digest, folder)}
    with workspace.stage(SPEC, JOB, inputs, resumable=False) as container:
        return host.specs[container].volumes[0]


def test_an_input_is_uploaded_once(
    workspace: Workspace, host: FolderDockerHost, data: Path, said: list[str]
) -> None:
    first, second = (upload(workspace, data, "sha256:1", "weights") for _ in range(2))
    assert first == second
    assert (first.target, first.read_only) == ("/inputs/weights", True)
    assert said == ["uploading weights to pc"]
    assert (host.volume_folders[first.volume] / CONTENT / "a.pth").read_text() == "weights"
    assert host.specs == {}
    assert list((workspace.root / "jobs").glob("*.uploading")) == []


def test_content_and_names_decide(workspace: Workspace, data: Path) -> None:
    names = {upload(workspace, data, digest).volume for digest in ("1", "2")}
    (data / "a.pth").rename(data / "b.pth")
    names.add(upload(workspace, data).volume)
    assert len(names) == 3


def test_stores_share_nothing_on_a_docker_host(
    workspace: Workspace, host: FolderDockerHost, data: Path, tmp_path: Path
) -> None:
    other = host.workspace(tmp_path / "other")
    assert upload(workspace, data) != upload(other, data)
    assert other.forget_inputs() == 1
    assert len(host.volume_folders) == 1


@dataclass
class Beset(FolderDockerHost):
    """A Docker host where something else happens before whatever a run asks for."""

    meanwhile: Callable[[], object] = nothing

    def create(self, spec: ContainerSpec) -> str:
        self.meanwhile()
        return super().create(spec)

    def put(self, container: str, path: str, tarball: Iterable[bytes]) -> None:
        self.meanwhile()
        super().put(container, path, tarball)

    def get(self, container: str, path: str) -> Iterator[bytes] | None:
        self.meanwhile()
        return super().get(container, path)

    def remove(self, container: str) -> None:
        self.meanwhile()
        super().remove(container)


def test_no_gc_takes_an_input_from_a_run(tmp_path: Path, data: Path) -> None:
    host = Beset(tmp_path / "host")
    (tmp_path / "store/jobs").mkdir(parents=True)
    workspace = host.workspace(tmp_path / "store")
    inputs = {"data": Input("1", data), "same": Input("1", data), "other": Input("2", data)}
    for _ in range(2):
        host.meanwhile = workspace.forget_inputs
        with workspace.stage(SPEC, JOB, inputs, resumable=False) as container:
            assert workspace.unused_inputs() == []
            for mount in host.specs[container].volumes[:-1]:
                folder = host.volume_folders[mount.volume]
                assert (folder / CONTENT / "a.pth").read_text() == "weights"
            host.meanwhile = nothing
    assert workspace.forget_inputs() == len(set(host.created[-1].volumes[:2])) == 2


def test_an_input_that_is_gone_when_a_stage_should_start_is_one_sentence(
    workspace: Workspace, host: FolderDockerHost, data: Path
) -> None:
    beset = Beset(host.root)

    def prune() -> None:
        for each in beset.root.glob(f"{workspace.volume('input')}*/{WHOLE}"):
            if len(beset.specs) == 2:  # the stage's container is there
                each.unlink()

    beset.meanwhile = prune
    with pytest.raises(DockerHostError, match=r"/inputs/x was uploaded to pc .* finds nothing"):
        upload(beset.workspace(workspace.root), data)
    assert beset.specs == {}


def test_a_half_upload_is_cleared_and_made_again(
    workspace: Workspace, host: FolderDockerHost, data: Path
) -> None:
    host.before_put, host.keeps_containers = cut(), True
    with pytest.raises(ConnectionLost):
        upload(workspace, data)
    assert (len(host.specs), len(host.volume_folders)) == (1, 1)
    host.before_put, host.keeps_containers = nothing, False
    assert workspace.sweep() == 1
    assert host.is_empty
    mount = upload(workspace, data)
    assert (host.volume_folders[mount.volume] / WHOLE).exists()


def test_a_half_upload_without_a_container_is_cleared(
    workspace: Workspace, host: FolderDockerHost, data: Path
) -> None:
    host.before_put = cut()
    with pytest.raises(ConnectionLost):
        upload(workspace, data)
    assert (len(host.specs), len(host.volume_folders)) == (0, 1)
    workspace.sweep()
    assert host.is_empty
    assert list((workspace.root / "jobs").glob("*.uploading")) == []


def test_a_whole_input_survives_the_run_that_uploaded_it(
    workspace: Workspace, host: FolderDockerHost, data: Path, said: list[str]
) -> None:
    volume = upload(workspace, data).volume
    labels = workspace.labels("upload", JOB, **{VOLUME: volume})
    host.create(ContainerSpec("empty", [], [VolumeMount(volume, "/input")], labels=labels))
    assert workspace.sweep() == 1
    assert host.specs == {}
    upload(workspace, data)
    assert said == ["uploading x to pc"]


def leave(workspace: Workspace, host: FolderDockerHost, kind: str = "job") -> None:
    """Be killed while a stage runs that has made something."""
    volume = workspace.volume(kind, JOB)
    mount = VolumeMount(volume, "/job", read_only=False)
    host.create(ContainerSpec("image", ["run"], [mount], labels=workspace.labels("stage", JOB)))
    work = host.volume_folders[volume] / "work"
    work.mkdir()
    (work / "epoch_3.pth").write_text("newest")


def test_work_of_a_killed_training_is_downloaded(
    workspace: Workspace, host: FolderDockerHost
) -> None:
    leave(workspace, host, "resumable")
    assert workspace.sweep() == 1
    assert (workspace.root / f"jobs/{JOB}/work/epoch_3.pth").read_text() == "newest"
    assert host.is_empty


def test_other_work_is_not(workspace: Workspace, host: FolderDockerHost) -> None:
    leave(workspace, host)
    workspace.sweep()
    assert not (workspace.root / "jobs" / JOB).exists()
    assert host.is_empty


def test_work_with_a_link_is_dropped_and_blocks_nobody(
    workspace: Workspace, host: FolderDockerHost, said: list[str]
) -> None:
    leave(workspace, host, "resumable")
    (volume,) = host.volume_folders.values()
    (volume / "work/link").symlink_to("/etc/passwd")
    assert workspace.sweep() == 1
    assert host.volume_folders == {}
    assert "is lost" in said[0]


def test_a_running_job_is_left_alone(workspace: Workspace, host: FolderDockerHost) -> None:
    leave(workspace, host, "resumable")
    with hold(lock_beside(workspace.root / "jobs" / JOB)):
        assert workspace.sweep() == 0
    assert len(host.specs) == len(host.volume_folders) == 1


def test_what_others_have_there_is_left_alone(workspace: Workspace, host: FolderDockerHost) -> None:
    labels = {"io.mmdet-jetson.job": JOB}
    host.create(ContainerSpec("image", [], [VolumeMount("theirs", "/x")], labels=labels))
    assert workspace.sweep() == 0
    assert len(host.specs) == len(host.volume_folders) == 1


def test_a_container_that_is_listed_late_is_waited_for(
    workspace: Workspace, host: FolderDockerHost
) -> None:
    leave(workspace, host, "resumable")
    host.lists_containers = False
    assert workspace.sweep() == 1
    assert host.refused
    assert host.is_empty


def test_a_stage_that_ends_well_leaves_nothing(
    workspace: Workspace, host: FolderDockerHost
) -> None:
    with workspace.stage(SPEC, JOB, {}, resumable=True) as container:
        assert container in host.specs
    assert host.is_empty


def test_of_two_errors_out_of_reach_the_first_is_told(
    workspace: Workspace, host: FolderDockerHost
) -> None:
    def run() -> None:
        with workspace.stage(SPEC, JOB, {}, resumable=False):
            host.before_list = cut("gone while clearing")
            raise ConnectionLost("gone while running")

    with pytest.raises(ConnectionLost, match="gone while running"):
        run()
