import errno
import io
import lzma
import os
import stat
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from peak_memory import growth_of

from mmdet_jetson.errors import UserError
from mmdet_jetson.fetching import archive as archive_module
from mmdet_jetson.fetching.archive import unpack

FILES = {"train/a.jpg": b"a" * 3000, "train/b.jpg": os.urandom(5000), "val/a.jpg": b""}


def names_in(folder: Path) -> list[str]:
    """Name what is in a folder, but for locks: they stay where they are."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of the duplicates that we write on purpose
        for name, content in members:
            archive.writestr(name, content)
    return path


def tar_of(path: Path, *members: tuple[str | tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def tar_entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def patched(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    return holding(path, content.replace(old, new))


def crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def cut(path: Path, size: int) -> Path:
    return holding(path, path.read_bytes()[:size])


def holding(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def spoiled_end(path: Path) -> Path:
    return holding(path, path.read_bytes()[:-8] + bytes(8))


def encrypted(path: Path) -> Path:
    """Set the flag of encryption in both headers of a zip's one member."""
    content = bytearray(zip_of(path, ("a.jpg", b"a")).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return holding(path, bytes(content))


def lying_zip(path: Path, declared: int) -> Path:
    """Declare another size than the content of the one member really has."""
    real = zip_of(path, ("a.jpg", b"a" * 1000))
    return patched(real, (1000).to_bytes(4, "little"), declared.to_bytes(4, "little"))


def bomb_with_headers(path: Path, before: bytes = b"") -> Path:
    """Declare 2 MiB of extended headers, which tarfile would read into memory."""
    info = tarfile.TarInfo("headers")
    info.type, info.size = tarfile.XHDTYPE, 2 << 20
    with lzma.open(path, "wb") as stream:
        stream.write(before + info.tobuf() + bytes(info.size) + bytes(1024))
    return path


def garbage_between(path: Path) -> Path:
    """Overwrite the second header of a tar: tarfile alone takes that for the end."""
    tar_of(path, ("a.jpg", b"a" * 512), ("b.jpg", b"b"))
    content = bytearray(path.read_bytes())
    content[1024:1536] = b"x" * 512
    return holding(path, bytes(content))


Make = Callable[[Path], Path]

# name of the defect -> (how to make the archive, what its one sentence says)
BAD: dict[str, tuple[Make, str]] = {
    "zip-traversal": (lambda p: zip_of(p, ("../a", b"")), r"'\.\./a' would leave the folder"),
    "zip-traversal-inside": (lambda p: zip_of(p, ("a/../../b", b"")), "would leave the folder"),
    "zip-absolute": (lambda p: zip_of(p, ("/etc/passwd", b"")), "'/etc/passwd' has an absolute"),
    "zip-drive": (lambda p: zip_of(p, ("C:/a", b"")), "has a drive letter"),
    "zip-backslash": (lambda p: zip_of(p, ("..\\a", b"")), "has a backslash"),
    "zip-symlink": (
        lambda p: zip_of(p, (zip_entry("a", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "'a' is a symbolic link",
    ),
    "zip-device": (
        lambda p: zip_of(p, (zip_entry("a", stat.S_IFCHR | 0o666), b"")),
        "is a device or a pipe",
    ),
    "zip-duplicate": (lambda p: zip_of(p, ("a", b"1"), ("a", b"2")), "'a' is there twice"),
    "zip-case": (lambda p: zip_of(p, ("a/B", b"1"), ("a/b", b"2")), "'a/b' is there twice"),
    "zip-case-folder": (lambda p: zip_of(p, ("A/1", b""), ("a/2", b"")), "differs from 'A' only"),
    "zip-unicode-form": (lambda p: zip_of(p, ("é", b""), ("e\u0301", b"")), "is there twice"),
    "zip-file-as-folder": (lambda p: zip_of(p, ("a", b""), ("a/b", b"")), "needs a folder"),
    "zip-folder-as-file": (lambda p: zip_of(p, ("a/b", b""), ("a", b"")), "both as a file and as"),
    "zip-no-name": (lambda p: zip_of(p, (".", b"x")), "has no name"),
    "zip-encrypted": (encrypted, "'a.jpg' is encrypted"),
    "zip-bomb": (lambda p: zip_of(p, ("a", bytes(2 << 20))), "200 times its packed size"),
    "zip-understated": (lambda p: lying_zip(p, 10), "damaged or cut short at 'a.jpg'"),
    "zip-overstated": (lambda p: lying_zip(p, 2000), "fewer than the 2,000 bytes it declares"),
    "zip-bad-checksum": (
        lambda p: patched(zip_of(p, ("a", b"xyz")), crc(b"xyz"), b"\0\0\0\0"),
        "damaged or cut short at 'a': Bad CRC-32",
    ),
    "zip-cut": (lambda p: cut(zip_of(p, ("a", os.urandom(999))), 500), "damaged or cut short"),
    "tar-traversal": (lambda p: tar_of(p, ("a/../../b", b"")), "would leave the folder"),
    "tar-absolute": (lambda p: tar_of(p, ("/a", b"")), "has an absolute path"),
    "tar-symlink": (
        lambda p: tar_of(p, (tar_entry("a", tarfile.SYMTYPE, "/etc"), b""), ("a/b", b"")),
        "'a' is a symbolic link",
    ),
    "tar-hard-link": (
        lambda p: tar_of(p, (tar_entry("a", tarfile.LNKTYPE, "/etc/passwd"), b"")),
        "is a hard link",
    ),
    "tar-device": (lambda p: tar_of(p, (tar_entry("a", tarfile.BLKTYPE), b"")), "is a device"),
    "tar-pipe": (lambda p: tar_of(p, (tar_entry("a", tarfile.FIFOTYPE), b"")), "or a pipe"),
    "tar-duplicate": (lambda p: tar_of(p, ("a", b"1"), ("./a", b"2")), r"'\./a' is there twice"),
    "tar-bomb": (
        lambda p: tar_of(p, ("a", bytes(2 << 20)), mode="w:xz"),
        "200 times its packed size",
    ),
    "tar-headers-bomb": (bomb_with_headers, "headers exceed 1,048,576 bytes"),
    "tar-headers-bomb-later": (
        lambda p: bomb_with_headers(p, before=tarfile.TarInfo("a").tobuf()),
        "headers exceed 1,048,576 bytes",
    ),
    "tar-garbage-between": (garbage_between, "the end of the archive is missing"),
    "tar-cut-in-content": (lambda p: cut(tar_of(p, ("a", b"a" * 999)), 900), "unexpected end"),
    "tar-cut-between": (lambda p: cut(tar_of(p, ("a", b"a" * 512)), 1024), "the end .* is missing"),
    "tar-gz-cut": (
        lambda p: cut(tar_of(p, ("a", os.urandom(9999)), mode="w:gz"), 5000),
        "damaged or cut short",
    ),
    "tar-gz-checksum": (
        lambda p: spoiled_end(tar_of(p, ("a", b"a"), mode="w:gz")),
        "damaged or cut short: CRC check failed",
    ),
    "empty": (lambda p: cut(zip_of(p), 0), "is empty"),
    "web-page": (lambda p: holding(p, b"<!DOCTYPE html>expired"), "it looks like a web page"),
    "picture": (lambda p: holding(p, b"\xff\xd8\xff" * 500), "neither a zip nor a tar archive"),
    "missing": (lambda p: p, "No such file or directory"),
}


@pytest.mark.parametrize("defect", BAD)
def test_bad_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    make, sentence = BAD[defect]
    monkeypatch.setattr(archive_module, "_HARMLESS_BYTES", 1 << 20)
    archive = make(tmp_path / "source.archive")
    before = names_in(tmp_path)
    with pytest.raises(UserError, match=sentence) as caught:
        unpack(archive, tmp_path / "into")
    assert str(archive) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert names_in(tmp_path) == before


def test_a_late_bad_member_keeps_the_good_ones_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mmdet_jetson.fetching.archive._write", lambda *_: pytest.fail("it was written")
    )
    with pytest.raises(UserError, match="would leave the folder"):
        unpack(zip_of(tmp_path / "a.zip", ("good", b""), ("../bad", b"")), tmp_path / "into")


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_good_archives(tmp_path: Path, mode: str) -> None:
    archive, into = tmp_path / "source", tmp_path / "deep" / "into"
    if mode == "zip":
        zip_of(archive, ("train/", b""), *FILES.items())
    else:
        tar_of(archive, (tar_entry("./", tarfile.DIRTYPE), b""), *FILES.items(), mode=mode)
    unpack(archive, into)
    found = {p.relative_to(into).as_posix(): p.read_bytes() for p in into.rglob("*.jpg")}
    assert found == FILES
    assert names_in(into.parent) == ["into"]


def test_folders_may_come_twice_and_empty(tmp_path: Path) -> None:
    folder = tar_entry("a/b/", tarfile.DIRTYPE)
    unpack(tar_of(tmp_path / "a.tar", (folder, b""), (folder, b"")), tmp_path / "into")
    assert (tmp_path / "into" / "a" / "b").is_dir()


def test_modes_do_not_come_along(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.mode = 0o6777
    unpack(tar_of(tmp_path / "a.tar", (info, b"")), tmp_path / "into")
    assert (tmp_path / "into" / "a").stat().st_mode & 0o7133 == 0


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"max_files": 2}, "'val/a.jpg' is one more than the 2 files allowed"),
        ({"max_bytes": 7999}, "'train/b.jpg' brings it over the 7,999 bytes allowed"),
    ],
)
def test_limits(tmp_path: Path, limits: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        unpack(zip_of(tmp_path / "a.zip", *FILES.items()), tmp_path / "into", **limits)


def test_a_killed_run_leaves_nothing_for_long(tmp_path: Path) -> None:
    leftover = tmp_path / ".into.unpacking"
    leftover.mkdir()
    (leftover / "half.jpg").touch()
    unpack(zip_of(tmp_path / "a.zip", *FILES.items()), tmp_path / "into")
    assert names_in(tmp_path) == ["a.zip", "into"]
    assert not (tmp_path / "into" / "half.jpg").exists()


def test_four_at_once_unpack_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zip_of(tmp_path / "a.zip", *((f"{n}.jpg", b"x") for n in range(500)))
    problems: list[BaseException] = []
    unpacked: list[Path] = []
    together = Barrier(4)
    unpack_unlocked = archive_module._unpack

    def unpack_slowly(archive: Path, into: Path, limits: archive_module._Limits) -> None:
        unpacked.append(into)
        time.sleep(0.2)  # the others would begin meanwhile
        unpack_unlocked(archive, into, limits)

    def run() -> None:
        together.wait(60)
        try:
            unpack(archive, tmp_path / "into")
        except BaseException as error:
            problems.append(error)

    monkeypatch.setattr(archive_module, "_unpack", unpack_slowly)
    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(unpacked) == 1
    assert len(names_in(tmp_path / "into")) == 500
    assert names_in(tmp_path) == ["a.zip", "into"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mmdet_jetson.fetching.archive._write", write)
    with pytest.raises(UserError, match="No space left on device") as caught:
        unpack(zip_of(tmp_path / "a.zip", *FILES.items()), tmp_path / "into")
    assert "room" in caught.value.hint
    assert names_in(tmp_path) == ["a.zip"]


def test_memory_stays_small(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a", ("a", bytes(63 << 20)), ("b", b""), mode="w:gz")
    grown = growth_of(
        f"unpack(Path({str(archive)!r}), Path({str(tmp_path / 'into')!r}))",
        "from mmdet_jetson.fetching.archive import unpack",
    )
    assert grown < 30 << 20


def test_the_real_archive(tmp_path: Path) -> None:
    mirror = os.environ.get("MMDET_JETSON_TEST_MIRROR")
    folder = Path(mirror) if mirror else Path(__file__).parents[4] / "shared" / "mirror"
    archive = folder / "balloon_dataset.zip"
    if not archive.exists():
        pytest.skip(f"no {archive}: set MMDET_JETSON_TEST_MIRROR")
    unpack(archive, tmp_path / "into")
    assert len(list(tmp_path.glob("into/balloon/train/*.jpg"))) == 61
