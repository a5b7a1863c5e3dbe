"""What a zip or tar archive holds, member by member and in one form, whatever its format."""

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from mmdet_jetson.errors import UserError

# One member's headers; tarfile reads them into memory, whatever length they claim.
_MAX_HEADERS = 1 << 20
# Padding after the end of a tar; GNU tar writes 10 KiB records unless told otherwise.
_MAX_PADDING = 64 << 20
_DAMAGE = (
    EOFError,
    NotImplementedError,
    RecursionError,  # tarfile follows a chain of headers by recursion
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
_COMPRESSIONS: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
# zipfile puts no bound on the memory that bz2 and lzma members take.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """One entry of an archive, as it describes itself."""

    name: str
    size: int
    """Bytes once unpacked, as declared."""
    is_folder: bool
    defect: str
    """Why it must not be unpacked whatever its name ("is a symbolic link"), or empty."""
    open: Callable[[], IO[bytes]]


def members(archive: Path) -> Generator[Member, None, None]:
    """Yield the members of ``archive`` in order, open only while iterated; a tar to its very end.

    Raises:
        UserError: it is no archive, or it is damaged.
    """
    with archive.open("rb") as raw:
        start = raw.read(6)
    with damage_named(archive):
        if start.startswith(b"PK"):
            with zipfile.ZipFile(archive) as opened:
                yield from _zip_members(opened)
        else:
            with _decompressed(archive, start) as stream:
                yield from _tar_members(archive, stream, start)


@contextmanager
def damage_named(archive: Path, name: str = "") -> Iterator[None]:
    """Turn the many errors of the standard library's readers into one sentence."""
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        # gzip and bz2 report damage as an OSError without a number; the others are the disk's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        where = f" at {name!r}" if name else ""
        raise UserError(
            f"{archive} is damaged or cut short{where}: {error}", "fetch or pack it again"
        ) from error


def _zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        yield Member(
            name=info.filename,
            size=info.file_size,
            is_folder=info.is_dir(),
            defect=_zip_defect(info),
            open=partial(opened.open, info),
        )


def _zip_defect(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device or a pipe"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in _ZIP_METHODS:
        return f"is packed by method {info.compress_type}, not by deflate"
    return ""


class _Headers:
    """The stream under a tar, which refuses to hand out headers of any length."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.seek, self.tell = stream.seek, stream.tell
        self.left: int | None = None

    def read(self, size: int) -> bytes:
        if self.left is not None:
            self.left -= size
            if self.left < 0:
                raise ValueError(f"a member's headers exceed {_MAX_HEADERS:,} bytes")
        return self.stream.read(size)

    @contextmanager
    def bounded(self) -> Iterator[None]:
        self.left = _MAX_HEADERS
        yield
        self.left = None


def _decompressed(archive: Path, start: bytes) -> IO[bytes]:
    for magic, opener in _COMPRESSIONS.items():
        if start.startswith(magic):
            return cast("IO[bytes]", opener(archive))
    return archive.open("rb")


def _tar_members(archive: Path, stream: IO[bytes], start: bytes) -> Iterator[Member]:
    headers = _Headers(stream)
    opened = _open_tar(archive, headers, start)
    while True:
        with headers.bounded():
            info = opened.next()
        if info is None:
            break
        opened.members.clear()  # type: ignore[attr-defined] # else it keeps them all
        yield Member(
            name=info.name,
            size=info.size,
            is_folder=info.isdir(),
            defect=_tar_defect(info),
            open=cast("Callable[[], IO[bytes]]", partial(opened.extractfile, info)),
        )
    _check_end(stream, opened.offset)


def _open_tar(archive: Path, headers: _Headers, start: bytes) -> tarfile.TarFile:
    try:
        with headers.bounded():
            return tarfile.TarFile(fileobj=cast("IO[bytes]", headers))
    except tarfile.ReadError as error:
        what = "is empty" if not start else "is neither a zip nor a tar archive"
        if start.lstrip().startswith(b"<"):
            what += " (it looks like a web page)"
        raise UserError(f"{archive} {what}", "fetch it again, or name another file") from error


def _tar_defect(info: tarfile.TarInfo) -> str:
    if info.issym():
        return "is a symbolic link"
    if info.islnk():
        return "is a hard link"
    if not (info.isreg() or info.isdir()):
        return "is a device or a pipe"
    if info.size < 0:
        return "declares a negative size"
    return ""


def _check_end(stream: IO[bytes], offset: int) -> None:
    """Tell the end of a tar from garbage and from a cut, which ``tarfile`` takes for the end.

    Reading on to the end of the stream lets gzip, bz2 and xz check their checksums.
    """
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("the end of the archive is missing")
    padding = 0
    while chunk := stream.read(1 << 20):
        padding += len(chunk)
        if padding > _MAX_PADDING:
            raise tarfile.ReadError(f"more than {_MAX_PADDING:,} bytes follow its end")
