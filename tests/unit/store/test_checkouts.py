"""Large directories checked out once for all jobs."""

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from small_artifacts import Tree

from mmdet_jetson.files import remove
from mmdet_jetson.store import Artifact, Provenance, Store, shards

CheckOut = Callable[[Artifact, str], Path]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LARGE", 100_000)
    monkeypatch.setattr(shards, "MEAN", 32_000)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    (folder / "train/more/empty").mkdir(parents=True)
    (folder / "train.json").write_text("{}")
    for number in range(60):
        content = random.Random(number).randbytes(4000)
        (folder / f"train/{'more/' * (number % 3 == 0)}{number:03d}.jpg").write_bytes(content)
    return folder


@pytest.fixture
def artifact(store: Store, pictures: Path, provenance: Provenance) -> Artifact:
    return store.put("dataset", pictures, provenance, ["a"])


@pytest.fixture
def check_out(store: Store) -> CheckOut:
    def check_out(artifact: Artifact, job: str) -> Path:
        place = store.root / "jobs" / job / "inputs/dataset"
        store.checkout(artifact, place, ["train", "train.json"], shared=True)
        return place

    return check_out


def checkouts(store: Store) -> list[Path]:
    return [path for path in (store.root / "checkouts").glob("[!.]*") if path.is_dir()]


def inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.rglob("*.jpg")}


def all_of(folder: Path) -> dict[str, bytes | None]:
    """As the fixture `tree`, through links."""
    found: dict[str, bytes | None] = {}
    for at, folders, names in os.walk(folder, followlinks=True):
        inside = Path(at).relative_to(folder)
        found |= {str(inside / name): None for name in folders}
        found |= {str(inside / name): Path(at, name).read_bytes() for name in names}
    return found


def test_two_jobs_read_the_same_files(
    store: Store, artifact: Artifact, check_out: CheckOut, pictures: Path
) -> None:
    one, two = check_out(artifact, "one"), check_out(artifact, "two")

    assert all_of(one) == all_of(two) == all_of(pictures)
    assert (one / "train").resolve() == (two / "train").resolve()
    assert not (one / "train.json").is_symlink()
    assert len(checkouts(store)) == 1
    assert {path.stat().st_mode & 0o222 for path in (one / "train").resolve().rglob("*.jpg")} == {0}


def test_a_persons_checkout_is_a_copy(
    store: Store, artifact: Artifact, tmp_path: Path, tree: Tree, pictures: Path
) -> None:
    store.checkout(artifact, tmp_path / "out")

    assert tree(tmp_path / "out") == tree(pictures)
    assert checkouts(store) == []


def _append(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"x")


def _rewrite(path: Path) -> None:
    """Other bytes, as many, in the same inode."""
    path.chmod(0o644)
    path.write_bytes(bytes(len(path.read_bytes())))


def _another(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(status.st_size))  # while the old one is there, so that inodes differ
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def _add(path: Path) -> None:
    (path.parent / "added.jpg").write_bytes(b"")


@pytest.mark.parametrize("change", [_append, _rewrite, _another, _add, Path.unlink])
def test_what_somebody_changed_is_made_again(
    store: Store,
    artifact: Artifact,
    check_out: CheckOut,
    pictures: Path,
    change: Callable[[Path], None],
) -> None:
    one = check_out(artifact, "one")
    remove(store.root / "jobs/one")
    before = (store.root / "checkouts").glob("*/train/001.jpg")
    change(next(before))

    two = check_out(artifact, "two")

    assert all_of(two) == all_of(pictures)
    assert not one.exists()


@pytest.mark.parametrize("content", [b"", b"x" * 200])
def test_damaged_notes_are_not_believed(
    store: Store, artifact: Artifact, check_out: CheckOut, content: bytes, pictures: Path
) -> None:
    check_out(artifact, "one")
    (notes,) = (store.root / "checkouts").glob("*.files")
    notes.write_bytes(content)

    assert all_of(check_out(artifact, "two")) == all_of(pictures)


def test_the_next_version_takes_what_is_there(
    store: Store, artifact: Artifact, check_out: CheckOut, pictures: Path, provenance: Provenance
) -> None:
    one = check_out(artifact, "one")
    (pictures / "train/new.jpg").write_bytes(b"new" * 1000)
    (pictures / "train/001.jpg").unlink()
    grown = store.put("dataset", pictures, provenance, ["b"])

    two = check_out(grown, "two")

    assert all_of(two) == all_of(pictures)
    old, new = inodes((one / "train").resolve()), inodes((two / "train").resolve())
    assert sum(old.get(name) == inode for name, inode in new.items()) > 40


def test_a_file_that_was_changed_is_not_linked_into_the_next_version(
    store: Store, artifact: Artifact, check_out: CheckOut, pictures: Path, provenance: Provenance
) -> None:
    one = check_out(artifact, "one")
    for path in (one / "train").resolve().rglob("*.jpg"):
        _rewrite(path)
    (pictures / "train/new.jpg").write_bytes(b"new" * 1000)

    two = check_out(store.put("dataset", pictures, provenance, ["b"]), "two")

    assert all_of(two) == all_of(pictures)


def test_collection_leaves_what_a_job_reads(
    store: Store, artifact: Artifact, check_out: CheckOut, pictures: Path
) -> None:
    one = check_out(artifact, "one")
    assert store.gc(lambda _: True).size < 10_000
    assert all_of(one) == all_of(pictures)
    remove(store.root / "jobs/one")
    size = 60 * 4000

    assert size <= store.gc(lambda _: True, dry_run=True).size < size + 10_000
    assert len(checkouts(store)) == 1
    assert size <= store.gc(lambda _: True).size < size + 10_000
    assert checkouts(store) == []
    assert all_of(check_out(artifact, "two")) == all_of(pictures)


def test_a_jobs_end_leaves_the_checkout(
    store: Store, artifact: Artifact, check_out: CheckOut
) -> None:
    check_out(artifact, "one")
    remove(store.root / "jobs/one")

    assert len(list(checkouts(store)[0].rglob("*.jpg"))) == 60


def test_jobs_at_once_make_one(
    store: Store, artifact: Artifact, check_out: CheckOut, pictures: Path
) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            assert all_of(check_out(artifact, f"job{number}")) == all_of(pictures)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert failed == []
    assert len(checkouts(store)) == 1


def test_what_a_killed_checkout_left_is_in_nobodys_way(
    store: Store, artifact: Artifact, check_out: CheckOut, pictures: Path
) -> None:
    check_out(artifact, "one")
    (made,) = checkouts(store)
    shutil.copytree(made, made.with_name(f".{made.name}.partial"))
    (made / "train/001.jpg").unlink()

    assert all_of(check_out(artifact, "two")) == all_of(pictures)
    assert list((store.root / "checkouts").glob(".*")) == []

    shutil.copytree(made, made.with_name(".0123.partial"))
    store.gc(lambda _: True)
    assert list((store.root / "checkouts").glob(".*")) == []
    assert made.exists()
