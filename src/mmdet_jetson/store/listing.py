"""``index.json``, parsed once for as long as it stays the same, and looked through by dictionaries.

Of a store with 100,000 artifacts it has 37 MB, so what parses it anew for every question, or goes
through all of it, is slow long before that. One object may serve many threads at once: what is
known of the file is one immutable value, which a thread replaces as a whole, so the worst that two
of them do is to parse the same file twice.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import oci
from mmdet_jetson.store.oci import Descriptor, Index

EMPTY = Index(schema_version=2, media_type=oci.INDEX, manifests=[])
_Stamp = tuple[int, int, int]


class BrokenIndex(UserError):
    """``index.json`` cannot be read."""


@dataclass(frozen=True)
class Listing:
    """An index, and its entries by what they are asked for by."""

    index: Index

    @cached_property
    def by_tag(self) -> Mapping[str, Descriptor]:
        """Every tag with its entry, in the order of the index; of a tag twice the last counts."""
        named = ((entry.tag, entry) for entry in self.index.manifests)
        return MappingProxyType({tag: entry for tag, entry in named if tag})

    @cached_property
    def by_digest(self) -> Mapping[str, Descriptor]:
        """An entry of every manifest, in the order of the index; of several the last."""
        return MappingProxyType({entry.digest: entry for entry in self.index.manifests})


class Listed:
    """The file ``index.json`` of a layout, and what was last read of it."""

    def __init__(self, path: Path, marker: Path) -> None:
        self.path = path
        self._marker = marker
        self._last: tuple[_Stamp | None, Listing] = (None, Listing(EMPTY))

    def now(self) -> Listing:
        """The index as it is now; parsed again only when another write has replaced it.

        Raises:
            BrokenIndex: it is not an index, or it is missing from a layout.
        """
        try:
            stamp = _stamp(self.path)
        except FileNotFoundError as error:
            if self._marker.exists():  # else ``gc`` would take every blob for garbage
                raise _broken(self.path, "it is missing") from error
            return Listing(EMPTY)
        seen, listing = self._last
        if stamp != seen:
            listing = Listing(_parsed(self.path))
            self._last = stamp, listing
        return listing

    def replace(self, prepared: Path, index: Index) -> None:
        """Put a prepared file in the place of the index that it holds; the caller has the lock."""
        stamp = _stamp(prepared)
        prepared.replace(self.path)
        self._last = stamp, Listing(index)


def _stamp(path: Path) -> _Stamp:
    """What tells a file from another one: a write makes a new one, so nearly always the inode."""
    status = os.stat(path)  # noqa: PTH116 - asked for every question
    return status.st_ino, status.st_mtime_ns, status.st_size


def _parsed(path: Path) -> Index:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Index)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(path, str(error)) from error


def _broken(path: Path, reason: str) -> BrokenIndex:
    return BrokenIndex(
        f"{path} is not the index of an OCI image layout: {reason}",
        "`invoke verify --mend` starts with an empty one: results are then made again",
    )
