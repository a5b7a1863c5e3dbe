"""A large directory as several layers, each of some of its files.

So that adding ten pictures to 20,000 stores and sends little more than ten pictures. What is in the
directory is told by one digest of paths and files (`tree_of`), which knows nothing of shards: the
same files have the same keys however they were cut, today or by another version.

Two things decide how it is cut. Shards that are known and of whose files every one is still there
are taken as they are (`covering`). What is left is cut anew (`cut`), by a rule that looks at one
file at a time, so that a file more or less moves no boundary but its own.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import NamedTuple

LARGE = 32 << 20
"""Bytes of a directory's tar from which it is sharded, and its content is that of its tree.

This is part of the format: with another number, directories in between would have another content
and other keys. All else in here may change at any time.
"""
MEAN = 8 << 20
"""Bytes of a shard on average, of directories that have no more than `MOST` such."""
MOST = 1024
"""Shards of a directory, about: each has 450 bytes in the manifest, and registries take 4 MB."""
_LONGEST = 4  # times the mean
_SMALL, _FEW = 4, 16  # shards of less than a quarter of the mean are packed together when so many
_TITLE = re.compile(r"[0-9a-f]{12}/\.\./([^/]+)", re.DOTALL)


class Entry(NamedTuple):
    """A file of a directory, or an empty folder in it, which ends in a slash.

    ``path`` is the one below the directory, with slashes; ``source`` is where its bytes lie, and
    ``sha256`` is theirs in hex, "" where it is not known.
    """

    path: str
    source: str
    size: int
    sha256: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is an empty folder."""
        return self.path.endswith("/")

    @property
    def weight(self) -> int:
        """Bytes that it takes in a tar, about."""
        return BLOCKSIZE - self.size // -BLOCKSIZE * BLOCKSIZE


@dataclass(frozen=True)
class Shard:
    """A shard that is known: its blob, its size in bytes, its tar's digest, and its files.

    ``files`` maps the paths to SHA-256 in hex; "" for an empty folder.
    """

    title: str
    digest: str
    size: int
    unpacked: str
    files: Mapping[str, str]


def order(entry: Entry) -> list[str]:
    """What sorts entries as a walk through sorted folders meets them."""
    return entry.path.split("/")


def title_of(directory: str, unpacked: str) -> str:
    """The title of a shard: a path that leads to its directory.

    ``oras`` refuses two layers with one title, and unpacks each where its title leads. It reads no
    file system for that, so a folder of that name need not be there.
    """
    return f"{unpacked.removeprefix('sha256:')[:12]}/../{directory}"


def directory_of(title: str) -> str:
    """The directory that a title leads to; the title itself where it is no shard's."""
    match = _TITLE.fullmatch(title)
    return match[1] if match else title


def tree_of(files: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """The digest of a directory's content: of a line a file, its path, a zero byte, its SHA-256.

    Lines are sorted by the bytes of the paths. An empty folder has no SHA-256.
    """
    listed = files.items() if isinstance(files, Mapping) else files
    tree = hashlib.sha256()
    for path, digest in sorted((_encoded(path), digest) for path, digest in listed):
        tree.update(b"%s\0%s\n" % (path, digest.encode()))
    return f"sha256:{tree.hexdigest()}"


def is_large(entries: Sequence[Entry]) -> bool:
    """Whether a directory is sharded."""
    return sum(entry.weight for entry in entries) >= LARGE


def mean_of(entries: Sequence[Entry]) -> int:
    """Bytes that the shards of a directory shall have on average: a power of two."""
    mean, wanted = MEAN, sum(entry.weight for entry in entries) / MOST
    while mean < wanted:
        mean *= 2
    return mean


def cut(entries: Sequence[Entry], mean: int) -> list[list[Entry]]:
    """Cut sorted entries into runs of ``mean`` bytes on average.

    Whether a run ends behind a file is up to that file: a digest of its path, as a number between 0
    and 1, is less than its share of the mean. Only a run that has got far too long ends elsewhere.
    """
    runs: list[list[Entry]] = [[]]
    size = 0
    for entry in entries:
        if size + entry.weight > _LONGEST * mean and runs[-1]:
            runs.append([])
            size = 0
        runs[-1].append(entry)
        size += entry.weight
        if _number(entry.path) < entry.weight / mean:
            runs.append([])
            size = 0
    return [run for run in runs if run]


def covering(entries: Sequence[Entry], known: Iterable[Shard], mean: int) -> list[Shard]:
    """Known shards of which each file is among the entries, none in two of them.

    Small ones come with every few files that are added. Once there are many, they are left out:
    what they hold is packed together then, so that a directory is never in too many pieces.
    """
    wanted = {entry.path: entry.sha256 for entry in entries}
    taken: list[Shard] = []
    covered: set[str] = set()
    for shard in sorted(known, key=lambda each: (-each.size, each.digest)):
        is_there = all(wanted.get(path) == digest for path, digest in shard.files.items())
        if is_there and covered.isdisjoint(shard.files):
            taken.append(shard)
            covered.update(shard.files)
    small = [shard for shard in taken if shard.size * _SMALL < mean]
    return taken if len(small) < _FEW else [shard for shard in taken if shard not in small]


def entries_in(folder: Path) -> list[Entry]:
    """What is in a directory, sorted.

    Raises:
        ValueError: something in it is neither a file nor a directory. A link would point outside
            of the artifact, or to what the next machine does not have.
    """
    return _entries(folder, "")


def _entries(folder: Path, inside: str) -> list[Entry]:
    found: list[Entry] = []
    for path in sorted(folder.iterdir(), key=lambda each: each.name):
        status = path.lstat()
        if path.is_dir() and not path.is_symlink():
            name = f"{inside}{path.name}/"
            found += _entries(path, name) or [Entry(name, "", 0)]
        else:
            require_regular(path, status.st_mode)
            found.append(Entry(f"{inside}{path.name}", str(path), status.st_size))
    return found


def require_regular(path: Path | str, mode: int) -> None:
    """Refuse what is no plain file, by its mode: ``ValueError``."""
    if mode & 0o170000 != 0o100000:
        raise ValueError(f"an artifact holds plain files and directories only: {path}")


def _number(path: str) -> float:
    return int.from_bytes(hashlib.sha256(_encoded(path)).digest()[:7], "big") / (1 << 56)


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
