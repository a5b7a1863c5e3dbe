"""``sources.toml``: what may be fetched, by name, and the mirrors that everyone here shares."""

import re
from typing import Annotated
from urllib.parse import unquote, urlsplit

import msgspec

from mmdet_jetson.config.toml import Section, pattern

ARCHIVES = (".tar", ".gz", ".tgz", ".xz", ".zst", ".zip")


def is_archive(name: str) -> bool:
    """Whether a file is an archive, by its name."""
    return name.lower().endswith(ARCHIVES)


def filename_of(address: str) -> str:
    """Return the last part of a path or web address; empty if it does not name a file."""
    name = address.rpartition("/")[2]
    if "://" in address:
        name = unquote(urlsplit(address).path.rpartition("/")[2])
    return "" if name in (".", "..") or set(name) & set("/\\\0") else name


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that comes from elsewhere."""

    url: str
    """http, https or file URL, or an absolute path."""
    sha256: (
        Annotated[str, pattern("^[0-9a-f]{64}$", "a SHA-256 is 64 lower-case hexadecimal digits")]
        | None
    ) = None
    """None: recorded on first use in the lock file, and enforced from then on."""
    size: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Bytes."""

    def __post_init__(self) -> None:
        if not re.match(r"https?://|file:///|/", self.url):
            raise ValueError(f"{self.url!r} is not an http, https or file URL or an absolute path")
        if not self.filename:
            raise ValueError(f"{self.url!r} does not end in a file name")

    @property
    def filename(self) -> str:
        """The last part of the url."""
        return filename_of(self.url)


class Sources(Section, frozen=True):
    """``sources.toml`` as a whole."""

    mirrors: tuple[str, ...] = ()
    sources: dict[str, Source] = msgspec.field(default_factory=dict)
