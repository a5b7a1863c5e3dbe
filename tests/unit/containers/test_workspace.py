import threading
from pathlib import Path

import pytest
from folder_engine import FolderEngine

from mmdet_jetson.containers.objects import (
    ConnectionLost,
    ContainerSpec,
    DockerHostError,
    VolumeMount,
)
from mmdet_jetson.containers.workspace import CONTENT, WHOLE, Workspace
from mmdet_jetson.locks import hold
from mmdet_jetson.running.jobs import lock_of

JOB = "train-0123"


@pytest.fixture
def engine(tmp_path: Path) -> FolderEngine:
    return FolderEngine(tmp_path / "engine")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def shelf(engine: FolderEngine, tmp_path: Path, said: list[str]) -> Workspace:
    (tmp_path / "store/jobs").mkdir(parents=True)
    return Workspace(engine, tmp_path / "store", said.append)  # type: ignore[arg-type]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.pth").write_text("weights")
    return tmp_path / "data"


def test_an_input_goes_up_once(
    shelf: Workspace, engine: FolderEngine, data: Path, said: list[str]
) -> None:
    first, second = (shelf.upload(JOB, "weights", "sha256:1", data) for _ in range(2))
    assert first == second
    assert first.read_only
    assert said == ["uploading weights to pc"]
    assert (engine.shelves[first.volume] / CONTENT / "a.pth").read_text() == "weights"
    assert engine.boxes == {}
    assert list((shelf.root / "jobs").iterdir()) == []


def test_content_and_names_decide(shelf: Workspace, data: Path) -> None:
    names = {shelf.upload(JOB, "weights", digest, data).volume for digest in ("1", "2")}
    (data / "a.pth").rename(data / "b.pth")
    names.add(shelf.upload(JOB, "weights", "1", data).volume)
    assert len(names) == 3


def test_stores_share_nothing_on_an_engine(
    shelf: Workspace, engine: FolderEngine, data: Path, tmp_path: Path
) -> None:
    other = Workspace(engine, tmp_path / "other", print)  # type: ignore[arg-type]
    assert shelf.upload(JOB, "x", "1", data) != other.upload(JOB, "x", "1", data)
    assert other.forget_inputs() == 1
    assert len(engine.shelves) == 1


def test_a_half_upload_is_cleared_and_made_again(
    shelf: Workspace, engine: FolderEngine, data: Path
) -> None:
    def cut() -> None:
        raise ConnectionLost("gone")

    remove, engine.before_put = engine.remove, cut
    engine.remove = lambda _: None  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost):
        shelf.upload(JOB, "x", "1", data)
    assert (len(engine.boxes), len(engine.shelves)) == (1, 1)
    engine.before_put, engine.remove = lambda: None, remove  # type: ignore[method-assign]
    assert shelf.sweep() == 1
    assert (engine.boxes, engine.shelves) == ({}, {})
    mount = shelf.upload(JOB, "x", "1", data)
    assert (engine.shelves[mount.volume] / WHOLE).exists()


def test_a_half_upload_without_a_container_is_cleared(
    shelf: Workspace, engine: FolderEngine, data: Path
) -> None:
    def cut() -> None:
        raise ConnectionLost("gone")

    engine.before_put = cut
    with pytest.raises(ConnectionLost):
        shelf.upload(JOB, "x", "1", data)
    assert (len(engine.boxes), len(engine.shelves)) == (0, 1)
    shelf.sweep()
    assert engine.shelves == {}
    assert list((shelf.root / "jobs").iterdir()) == []


def leave(shelf: Workspace, engine: FolderEngine, kind: str = "job") -> None:
    """Be killed while a stage runs that has made something."""
    volume = shelf.volume(kind, JOB)
    mount = VolumeMount(volume, "/job", read_only=False)
    engine.create(ContainerSpec("image", ["run"], [mount], labels=shelf.labels("stage", JOB)))
    work = engine.shelves[volume] / "work"
    work.mkdir()
    (work / "epoch_3.pth").write_text("newest")


def test_work_of_a_killed_training_comes_home(shelf: Workspace, engine: FolderEngine) -> None:
    leave(shelf, engine, "resumable")
    assert shelf.sweep() == 1
    assert (shelf.root / f"jobs/{JOB}/work/epoch_3.pth").read_text() == "newest"
    assert (engine.boxes, engine.shelves) == ({}, {})


def test_other_work_does_not(shelf: Workspace, engine: FolderEngine) -> None:
    leave(shelf, engine)
    shelf.sweep()
    assert not (shelf.root / "jobs" / JOB).exists()
    assert (engine.boxes, engine.shelves) == ({}, {})


def test_work_with_a_link_is_dropped_and_blocks_nobody(
    shelf: Workspace, engine: FolderEngine, said: list[str]
) -> None:
    leave(shelf, engine, "resumable")
    (volume,) = engine.shelves.values()
    (volume / "work/link").symlink_to("/etc/passwd")
    assert shelf.sweep() == 1
    assert engine.shelves == {}
    assert "is lost" in said[0]


def test_a_running_job_is_left_alone(shelf: Workspace, engine: FolderEngine) -> None:
    leave(shelf, engine, "resumable")
    with hold(lock_of(shelf.root / "jobs" / JOB)):
        assert shelf.sweep() == 0
    assert len(engine.boxes) == len(engine.shelves) == 1


def test_what_others_have_there_is_left_alone(shelf: Workspace, engine: FolderEngine) -> None:
    engine.create(ContainerSpec("image", [], [VolumeMount("theirs", "/x")], labels={"io.mmdet-jetson.job": JOB}))
    assert shelf.sweep() == 0
    assert len(engine.boxes) == len(engine.shelves) == 1


def test_a_container_that_shows_up_late_is_waited_for(shelf: Workspace, engine: FolderEngine) -> None:
    leave(shelf, engine, "resumable")
    hidden, refused = engine.containers, threading.Event()
    engine.containers = lambda labels: hidden(labels) if refused.is_set() else []  # type: ignore[method-assign]
    original = engine.remove_volume

    def remove_volume(volume: str) -> None:
        try:
            original(volume)
        except DockerHostError:
            refused.set()
            raise

    engine.remove_volume = remove_volume  # type: ignore[method-assign]
    assert shelf.sweep() == 1
    assert refused.is_set()
    assert (engine.boxes, engine.shelves) == ({}, {})


def test_a_stage_that_ends_well_leaves_nothing(shelf: Workspace, engine: FolderEngine) -> None:
    with shelf.stage(ContainerSpec("image", ["run"]), JOB, resumable=True) as container:
        assert container in engine.boxes
    assert (engine.boxes, engine.shelves) == ({}, {})


def test_an_error_out_of_reach_is_the_one_that_is_told(shelf: Workspace, engine: FolderEngine) -> None:
    def gone(*_: object) -> None:
        raise ConnectionLost("gone while clearing")

    def run() -> None:
        with shelf.stage(ContainerSpec("image", ["run"]), JOB, resumable=False):
            engine.containers = gone  # type: ignore[assignment, method-assign]
            raise ConnectionLost("gone while running")

    with pytest.raises(ConnectionLost, match="gone while running"):
        run()
