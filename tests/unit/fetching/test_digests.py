import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from peak_memory import growth_of

from mmdet_jetson.errors import UserError
from mmdet_jetson.fetching import digests
from mmdet_jetson.fetching.digests import file_digest, sha256_file, tree_digest, tree_files

LONG_AGO = 1_600_000_000


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "digests.sqlite"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("b.jpg", "a/2.jpg", "a/1.jpg", "a-1.jpg", "é.jpg"):
        write(folder / name, name)
    return folder


def write(path: Path, text: str, mtime: int = LONG_AGO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (mtime, mtime))


def replaced(file: Path, text: str) -> None:
    """Put another file of the same size and time in a file's place."""
    write(file.with_name("new"), text)
    file.with_name("new").replace(file)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are read from here on."""
    names: list[str] = []
    really_read = digests._read

    def note(path: Path) -> object:
        names.append(path.name)
        return really_read(path)

    monkeypatch.setattr(digests, "_read", note)
    return names


def test_file_digest_is_sha256(tmp_path: Path) -> None:
    file = tmp_path / "file"
    content = bytes(range(256)) * 10_000
    file.write_bytes(content)
    assert sha256_file(file) == hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once(tmp_path: Path, cache: Path, read: list[str]) -> None:
    archive = tmp_path / "own.zip"
    write(archive, "pictures")
    digest = hashlib.sha256(b"pictures").hexdigest()
    assert [file_digest(archive, cache) for _ in range(3)] == [digest] * 3
    assert read == ["own.zip"]


@pytest.mark.parametrize(
    "change",
    [
        lambda file: write(file, "PICTURES", LONG_AGO + 1),
        lambda file: write(file, "more pictures"),
        lambda file: replaced(file, "PICTURES"),
    ],
    ids=["later", "larger", "replaced"],
)
def test_a_file_that_changed_is_read_again(
    tmp_path: Path, cache: Path, change: Callable[[Path], object]
) -> None:
    archive = tmp_path / "own.zip"
    write(archive, "pictures")
    file_digest(archive, cache)
    change(archive)
    assert file_digest(archive, cache) == sha256_file(archive)


def test_a_file_of_just_now_may_change_within_a_tick_of_its_clock(
    tmp_path: Path, cache: Path, read: list[str]
) -> None:
    archive = tmp_path / "own.zip"
    archive.write_text("pictures")
    stamp = archive.stat()
    file_digest(archive, cache)
    archive.write_text("PICTURES")
    os.utime(archive, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert file_digest(archive, cache) == hashlib.sha256(b"PICTURES").hexdigest()
    assert len(read) == 2


def test_files_and_folders_share_a_cache(
    pictures: Path, tmp_path: Path, cache: Path, read: list[str]
) -> None:
    write(tmp_path / "own.zip", "pictures")
    file_digest(tmp_path / "own.zip", cache)
    tree_digest(pictures, cache)
    read.clear()
    tree_digest(pictures, cache)
    file_digest(tmp_path / "own.zip", cache)
    assert read == []


def test_a_file_that_is_gone_or_unreadable_is_one_sentence(tmp_path: Path, cache: Path) -> None:
    for file in (tmp_path / "gone.zip", tmp_path):
        with pytest.raises(UserError, match=f"{file.name} (vanished|cannot be read)"):
            file_digest(file, cache)


def test_tree_digest_is_the_documented_one(pictures: Path, cache: Path) -> None:
    names = sorted(os.fsencode(p.relative_to(pictures)) for p in pictures.rglob("*.jpg"))
    lines = b"".join(b"%s\0%s\n" % (n, hashlib.sha256(n).hexdigest().encode()) for n in names)
    assert len(names) == 5
    assert tree_digest(pictures, cache) == hashlib.sha256(lines).hexdigest()


def test_nothing_is_read_twice(pictures: Path, cache: Path, read: list[str]) -> None:
    first = tree_digest(pictures, cache)
    assert len(read) == 5
    read.clear()
    assert tree_digest(pictures, cache) == first
    assert read == []


def test_only_what_changed_is_read_again(pictures: Path, cache: Path, read: list[str]) -> None:
    first = tree_digest(pictures, cache)
    read.clear()
    write(pictures / "b.jpg", "c.jpg", mtime=LONG_AGO + 1)
    assert tree_digest(pictures, cache) != first
    assert read == ["b.jpg"]


def test_what_the_cache_says_of_a_known_tree_is_not_looked_for(
    pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tree_files(pictures, cache)
    write(pictures / "b.jpg", "another", LONG_AGO + 1)
    assert tree_files(pictures, cache, first[0]) == first
    second = tree_files(pictures, cache, "0" * 64)
    assert second == tree_files(pictures, cache) != first
    assert second[0] == tree_digest(pictures, cache)
    assert tree_files(pictures, cache, first[0]) == second
    monkeypatch.setattr(digests, "_stamps", None)
    assert tree_files(pictures, cache, second[0]) == second


def test_a_file_written_just_now_is_read_again(
    pictures: Path, cache: Path, read: list[str]
) -> None:
    (pictures / "fresh.jpg").write_text("1")
    tree_digest(pictures, cache)
    read.clear()
    tree_digest(pictures, cache)
    assert read == ["fresh.jpg"]


def test_the_cache_forgets_what_is_gone(pictures: Path, cache: Path) -> None:
    tree_digest(pictures, cache)
    (pictures / "b.jpg").unlink()
    tree_digest(pictures, cache)
    with closing(sqlite3.connect(cache)) as database:
        assert database.execute("SELECT count(*) FROM files").fetchone() == (4,)


def test_two_folders_share_a_cache(
    pictures: Path, cache: Path, tmp_path: Path, read: list[str]
) -> None:
    other = tmp_path / "other"
    write(other / "b.jpg", "something else")
    assert tree_digest(pictures, cache) != tree_digest(other, cache)
    read.clear()
    tree_digest(pictures, cache)
    tree_digest(other, cache)
    assert read == []


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "b.jpg").unlink(),
        lambda folder: (folder / "b.jpg").rename(folder / "z.jpg"),
        lambda folder: write(folder / "new.jpg", "new"),
        lambda folder: write(folder / "b.jpg", "longer than before"),
    ],
    ids=["removed", "renamed", "added", "rewritten"],
)
def test_every_change_counts(pictures: Path, cache: Path, change: Callable[[Path], object]) -> None:
    before = tree_digest(pictures, cache)
    change(pictures)
    assert tree_digest(pictures, cache) != before
    assert tree_digest(pictures, cache) == tree_digest(pictures, cache.with_name("fresh.sqlite"))


def test_place_and_times_do_not_count(pictures: Path, cache: Path) -> None:
    before = tree_digest(pictures, cache)
    os.utime(pictures / "b.jpg", (1, 1))
    moved = pictures.rename(pictures.with_name("moved"))
    (moved / "empty").mkdir()
    assert tree_digest(moved, cache) == before


def test_a_link_to_a_file_counts_as_the_file(pictures: Path, cache: Path) -> None:
    before = tree_digest(pictures, cache)
    real = (pictures / "b.jpg").rename(pictures.parent / "elsewhere.jpg")
    (pictures / "b.jpg").symlink_to(real)
    assert tree_digest(pictures, cache) == before
    write(real, "rewritten where the link leads")
    assert tree_digest(pictures, cache) != before


def test_a_link_to_a_folder_counts_as_the_folder(
    pictures: Path, cache: Path, read: list[str]
) -> None:
    """Such as one on another disk; two links may lead to the same."""
    for name in ("c/1.jpg", "c/2.jpg"):
        write(pictures / name, f"a{name[1:]}")
    before = tree_digest(pictures, cache)
    real = (pictures / "a").rename(pictures.parent / "elsewhere")
    (pictures / "a").symlink_to(real)
    shutil.rmtree(pictures / "c")
    (pictures / "c").symlink_to(real)
    assert tree_digest(pictures, cache) == before
    read.clear()
    assert tree_digest(pictures, cache) == before
    assert read == []
    write(real / "1.jpg", "rewritten where the link leads")
    assert tree_digest(pictures, cache) != before


def test_links_to_each_other_are_no_endless_walk(pictures: Path, cache: Path) -> None:
    other = pictures.parent / "other"
    other.mkdir()
    (pictures / "there").symlink_to(other)
    (other / "back").symlink_to(pictures.parent)
    with pytest.raises(UserError, match="symbolic link that leads in a circle"):
        tree_digest(pictures, cache)


def test_names_that_are_not_unicode(pictures: Path, cache: Path) -> None:
    before = tree_digest(pictures, cache)
    Path(os.fsdecode(os.fsencode(pictures) + b"/\xff.jpg")).write_text("x")
    assert tree_digest(pictures, cache) != before


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "x").symlink_to(f / "gone"), "symbolic link that leads nowhere"),
        (lambda f: (f / "x").symlink_to("x"), "symbolic link that leads nowhere"),
        (lambda f: (f / "x").symlink_to(f), "symbolic link that leads in a circle"),
        (lambda f: (f / "x").symlink_to("/dev/null"), "symbolic link to something that is neither"),
        (lambda f: os.mkfifo(f / "x"), "neither a file nor a folder"),
    ],
    ids=["broken-link", "link-to-itself", "circle", "link-to-a-device", "pipe"],
)
def test_what_is_refused(
    pictures: Path, cache: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(pictures)
    with pytest.raises(UserError, match=f"pictures/x is .*{sentence}") as caught:
        tree_digest(pictures, cache)
    assert caught.value.hint


def test_a_file_that_vanishes(pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_read = digests._read

    def vanish(path: Path) -> object:
        path.unlink()
        return really_read(path)

    monkeypatch.setattr(digests, "_read", vanish)
    with pytest.raises(UserError, match="vanished while it was looked at"):
        tree_digest(pictures, cache)


def test_a_file_that_grows_while_it_is_read(
    pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = digests.Stamp(1, 1, "1"), digests.Stamp(2, 1, "1")
    monkeypatch.setattr(digests, "_read", lambda _: ("digest", before, after))
    with pytest.raises(UserError, match="changed while it was read"):
        tree_digest(pictures, cache)


def test_not_a_folder(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="gone is not a folder"):
        tree_digest(tmp_path / "gone", cache)


def test_a_damaged_cache_is_named(pictures: Path, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("this is not a database, whatever its name says" * 100)
    with pytest.raises(UserError, match=r"digests\.sqlite, cannot be used") as caught:
        tree_digest(pictures, cache)
    assert "delete the file" in caught.value.hint


def test_two_processes_at_once(pictures: Path, cache: Path) -> None:
    for number in range(600):
        write(pictures / f"{number}.jpg", str(number))
    script = (
        "import sys; from pathlib import Path; from mmdet_jetson.fetching.digests import tree_digest;"
        "print(tree_digest(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, str(pictures), str(cache)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    outputs = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0] * 4
    assert outputs == {tree_digest(pictures, cache) + "\n"}


def test_memory_stays_small(tmp_path: Path, cache: Path) -> None:
    big = tmp_path / "big" / "file"
    big.parent.mkdir()
    with big.open("wb") as stream:
        stream.truncate(300 << 20)
    grown = growth_of(
        f"tree_digest(Path({str(big.parent)!r}), Path({str(cache)!r}))",
        "from mmdet_jetson.fetching.digests import tree_digest",
    )
    assert grown < 50 << 20


@pytest.mark.timeout(20)
def test_a_pipe_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe cannot be read: it is a pipe"):
        file_digest(tmp_path / "pipe", tmp_path / "cache")
