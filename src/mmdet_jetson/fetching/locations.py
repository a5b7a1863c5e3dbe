"""Where a source's file may be: in folders of this machine and at web addresses."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mmdet_jetson.config.sources import filename_of
from mmdet_jetson.contract.files import refuse_special

OnBytes = Callable[[int, "int | None"], None]

_CHUNK = 1 << 20


class LocationFailed(Exception):
    """One location did not give the file; the message completes "it ...", others may still do."""


class WrongFile(LocationFailed):
    """The location has a file, but not the one that is wanted."""


@dataclass(frozen=True)
class Location:
    """A local file or a web address where the wanted file may be."""

    address: str

    @property
    def path(self) -> Path | None:
        """The local file; None for a web address."""
        if "://" not in self.address:
            return Path(self.address)
        parts = urlsplit(self.address)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def __str__(self) -> str:
        """Show the address without what may be secret: user, password and query."""
        if self.path:
            return str(self.path)
        parts = urlsplit(self.address)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def locations(url: str, mirrors: Sequence[str]) -> list[Location]:
    """Return where to look for the file of ``url``, in order: each mirror, then the url itself."""
    filename = filename_of(url)
    found = []
    for mirror in mirrors:
        name = quote(filename) if "://" in mirror else filename
        found.append(Location(f"{mirror.rstrip('/')}/{name}"))
    return [*found, Location(url)]


def copy(path: Path, target: Path, progress: OnBytes) -> str:
    """Copy a local file and return its SHA-256.

    Raises:
        LocationFailed: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        refuse_special(path)
        source = path.open("rb")
        total = path.stat().st_size
    except OSError as error:
        raise LocationFailed(f"cannot be read: {error.strerror}") from error
    with source, target.open("wb") as sink:
        while chunk := source.read(_CHUNK):
            sink.write(chunk)
            digest.update(chunk)
            progress(sink.tell(), total)
    return digest.hexdigest()
