"""A dataset that was read before, and whose files are known by their digests."""

import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled import entry, job, noise, region, save, source

from mmdet_jetson.contract.parameters.dataset import KNOWN
from mmdet_jetson.contract.taken import read_taken, write_digests
from mmdet_jetson.stages import dataset
from mmdet_jetson.stages.annotations import extents, known
from mmdet_jetson.stages.annotations.inspected import Inspected
from mmdet_jetson.stages.annotations.known import Known
from mmdet_jetson.stages.annotations.pictures import Inspection, inspect
from mmdet_jetson.stages.reporting import dataset_glance


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_glance, "glance_charts", lambda _: [])


def digests_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(
    folder: Path, own: Path, last: Path | None = None, *, told: bool = True
) -> tuple[dict[str, bytes], dict[str, tuple[str, str]]]:
    """What a run makes, and what it takes; ``last`` is the folder of the run before."""
    made = job(folder, own)
    if told:
        write_digests(folder, {"source": digests_of(own)})
    if last:
        shutil.copytree(last / "work" / KNOWN, folder / "work" / KNOWN)
    dataset.run(made)
    files = {
        path.relative_to(folder / "output").as_posix(): path.read_bytes()
        for path in (folder / "output").rglob("*")
        if path.is_file()
    }
    return files, dict(read_taken(folder))


def spoil(notes: Path, how: str) -> None:
    content = bytearray(notes.read_bytes())
    if how == "flip":
        content[-5] ^= 1
    spoiled = {"cut": bytes(content[:-1]), "empty": b"", "none": bytes(32)}
    notes.write_bytes(spoiled.get(how, bytes(content)))


def test_pictures_are_named_and_not_copied(tmp_path: Path) -> None:
    own = source(tmp_path / "own")
    copied, _ = run(tmp_path / "one", own, told=False)

    files, taken = run(tmp_path / "two", own)

    assert taken == {
        "train/a.png": ("source", "train/a.png"),
        "val/b.png": ("source", "val/b.png"),
    }
    whole = files | {place: (own / inside).read_bytes() for place, (_, inside) in taken.items()}
    assert whole == copied


def test_a_picture_that_is_written_anew_is_not_taken(tmp_path: Path) -> None:
    own = source(tmp_path / "own")
    pixels = np.random.default_rng(5).integers(0, 65536, (30, 40, 3), np.uint16)
    assert cv2.imwrite(str(own / "train/a.png"), pixels)

    files, taken = run(tmp_path / "one", own)

    assert list(taken) == ["val/b.png"]
    assert "train/a.png.png" in files


def test_no_picture_is_decoded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = source(tmp_path / "own")
    first = run(tmp_path / "one", own)
    looked: list[str] = []

    def look(path: Path) -> Inspection:
        looked.append(path.name)
        return inspect(path)

    monkeypatch.setattr(known, "inspect", look)
    monkeypatch.setattr(extents, "_placed", None)  # nor is any object placed again
    assert run(tmp_path / "two", own, tmp_path / "one") == first
    assert looked == []
    monkeypatch.undo()
    monkeypatch.setattr(known, "inspect", look)
    monkeypatch.setattr(dataset_glance, "glance_charts", lambda _: [])

    (own / "train/a.png").rename(own / "train/c.png")  # the same file under another name
    save(own / "train/via.json", {"c.png1": entry("c.png", region())})
    noise(own / "val/b.png", 9)
    changed, _ = run(tmp_path / "three", own, tmp_path / "two")
    assert looked == ["b.png"]
    anew, _ = run(tmp_path / "four", own)
    assert changed == anew


@pytest.mark.parametrize("what", ["picture", "annotation", "removed"])
def test_what_changed_is_never_taken_from_the_run_before(tmp_path: Path, what: str) -> None:
    own = source(tmp_path / "own")
    for name, seed in (("c.bmp", 11), ("d.bmp", 12)):
        noise(own / "train" / name, seed)
    entries = {f"{name}1": entry(name, region()) for name in ("a.png", "c.bmp", "d.bmp")}
    save(own / "train/via.json", entries)
    before, _ = run(tmp_path / "one", own)

    if what == "picture":  # of the same size in bytes, as a BMP has it
        size = (own / "train/c.bmp").stat().st_size
        noise(own / "train/c.bmp", 13)
        assert (own / "train/c.bmp").stat().st_size == size
    elif what == "annotation":
        moved = region()
        moved["shape_attributes"] = {"name": "rect", "x": 1, "y": 2, "width": 9, "height": 8}
        save(own / "train/via.json", {**entries, "c.bmp1": entry("c.bmp", moved)})
    else:
        (own / "train/c.bmp").unlink()
        save(own / "train/via.json", {name: entries[name] for name in ("a.png1", "d.bmp1")})

    after, taken = run(tmp_path / "two", own, tmp_path / "one")
    anew, taken_anew = run(tmp_path / "three", own)
    assert (after, taken) == (anew, taken_anew)
    assert after != before
    assert ("train/c.bmp" in taken) is (what != "removed")


@pytest.mark.parametrize("file", ["pictures.bin", "extents.txt", "pairs.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "none"])
def test_damaged_notes_are_not_believed(tmp_path: Path, how: str, file: str) -> None:
    own = source(tmp_path / "own")
    first = run(tmp_path / "one", own)
    spoil(tmp_path / "one/work" / KNOWN / file, how)

    assert run(tmp_path / "two", own, tmp_path / "one") == first


def test_what_was_found_comes_back_as_it_was(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 1)
    digest = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    seen = Known(tmp_path, {"a.png": digest}, tmp_path / "notes")
    found = seen.inspect(tmp_path / "a.png")
    seen.keep()

    assert (
        Inspected(tmp_path / "notes/pictures.bin").find(digest)
        == found
        == inspect(tmp_path / "a.png")
    )
    assert Inspected(tmp_path / "notes/pictures.bin").find("0" * 64) is None
    assert seen.inside(tmp_path.parent / "b.png") is None
    assert seen.inside(tmp_path / "b.png") is None
