"""TensorBoard's files of a training: where they lie, and how one is told that did not end."""

from base64 import b64encode
from pathlib import Path

import pytest
from small_artifacts import PROVENANCE

from mmdet_jetson.contract.job import Recorded
from mmdet_jetson.store import Store
from mmdet_jetson.tracking.event_files import EventFiles, folder_of, place

KEY = "0123456789" * 6
FILE = "events.out.tfevents.1.vm.2.0"


def wrote(content: bytes, offset: int = 0, file: str = FILE) -> Recorded:
    return Recorded(file=file, offset=offset, content=b64encode(content).decode())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def files(store: Store) -> EventFiles:
    return EventFiles(store, "mugs", KEY)


def tree(store: Store) -> dict[str, bytes]:
    folder = store.root / "tensorboard"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_training_is_called_unfinished_until_it_has_ended(
    files: EventFiles, store: Store
) -> None:
    for recorded in (Recorded(begins=True), wrote(b"one"), wrote(b"two", 3)):
        files.heard(recorded)
    assert tree(store) == {f"mugs-01234567.unfinished/{FILE}": b"onetwo"}

    files.ended()

    assert tree(store) == {f"mugs-01234567/{FILE}": b"onetwo"}


def test_a_resumed_training_goes_on_in_its_folder(files: EventFiles, store: Store) -> None:
    files.heard(wrote(b"one"))

    again = EventFiles(store, "mugs", KEY)
    for recorded in (Recorded(), wrote(b"one"), wrote(b"two", file=f"{FILE}1")):
        again.heard(recorded)  # it tells all of its files from their beginning
    again.ended()

    assert tree(store) == {f"mugs-01234567/{FILE}": b"one", f"mugs-01234567/{FILE}1": b"two"}


def test_what_an_earlier_one_left_is_removed_where_a_training_begins_anew(
    files: EventFiles, store: Store
) -> None:
    files.heard(wrote(b"old", file=f"{FILE}9"))
    for recorded in (Recorded(begins=True), wrote(b"new")):
        files.heard(recorded)

    assert tree(store) == {f"mugs-01234567.unfinished/{FILE}": b"new"}


def test_one_that_was_trained_again_replaces_the_last(files: EventFiles, store: Store) -> None:
    for content in (b"first", b"second"):
        files.heard(Recorded(begins=True))
        files.heard(wrote(content))
        files.ended()

    assert tree(store) == {f"mugs-01234567/{FILE}": b"second"}


@pytest.mark.parametrize(
    "name", ["../../escaped", "/etc/passwd", "events.out.tfevents.1/../x", "", "x", "tfevents"]
)
def test_a_stage_names_no_other_file(files: EventFiles, store: Store, name: str) -> None:
    """It may have run in a container that is not ours."""
    files.heard(wrote(b"x", file=name))

    assert tree(store) == {}


def test_files_of_a_training_elsewhere_are_put_beside_the_others(
    store: Store, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    (made / "tensorboard").mkdir(parents=True)
    (made / "tensorboard" / FILE).write_bytes(b"one")
    (made / "best.pth").write_bytes(b"weights")
    checkpoint = store.put("checkpoint", made, PROVENANCE, [])

    for _ in range(2):
        place(store, "mugs", checkpoint)

    folder = folder_of(store, "mugs", PROVENANCE.key)
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_checkpoint_without_such_files_has_none(store: Store, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "best.pth").write_bytes(b"weights")

    place(store, "mugs", store.put("checkpoint", made, PROVENANCE, []))

    assert not (store.root / "tensorboard").exists()
