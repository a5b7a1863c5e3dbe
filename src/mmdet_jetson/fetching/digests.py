"""Digests of files and of folders of files, without reading again what did not change."""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from mmdet_jetson.contract.files import refuse_special
from mmdet_jetson.errors import UserError

if TYPE_CHECKING:
    import sqlite3

_CHUNK = 1 << 20
_BATCH = 256
# A file may change again within the clock tick of its file system (2 s on FAT) and keep its stamp.
_SETTLED_NS = 2_000_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    folder BLOB, path BLOB, size INTEGER, mtime_ns INTEGER, inode TEXT, sha256 TEXT,
    PRIMARY KEY (folder, path)
) WITHOUT ROWID;
CREATE TEMP TABLE seen (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode TEXT, sha256 TEXT
) WITHOUT ROWID;
"""
_RECALL = """
UPDATE seen SET sha256 = (
    SELECT files.sha256 FROM files
    WHERE files.folder = ? AND files.path = seen.path AND files.size = seen.size
    AND files.mtime_ns = seen.mtime_ns AND files.inode = seen.inode
)
"""
_RECALL_FILE = """
SELECT sha256 FROM files
WHERE folder = ? AND path = ? AND size = ? AND mtime_ns = ? AND inode = ?
"""
_ALL = "SELECT path, sha256 FROM files WHERE folder = ? ORDER BY path"
_KEEP = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)"
# In the place of a folder, for files on their own, whose paths are absolute.
_NO_FOLDER = b""
_FORGET = "DELETE FROM files WHERE folder = ? AND path NOT IN (SELECT path FROM seen)"


class Stamp(NamedTuple):
    """What changes with a file's content, unless someone hides the change on purpose.

    Not the time of the last status change: a hard link or a chmod would make us read it again.
    """

    size: int
    mtime_ns: int
    inode: str  # text: on some file systems it does not fit the 63 bits of an SQLite integer

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """Return the stamp of a file with this status."""
        return cls(status.st_size, status.st_mtime_ns, str(status.st_ino))


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits; memory does not grow with the file."""
    return _read(path)[0]


def tree_digest(folder: Path, cache: Path) -> str:
    """Return the SHA-256 of everything in ``folder``: paths and contents, not times or modes.

    It is the digest of one line a file, sorted by the bytes of its relative path: the path, a
    zero byte, the file's SHA-256. Empty folders do not count. A symbolic link counts as the file or
    the folder that it leads to; links that lead nowhere or in a circle, devices and pipes are
    refused.

    Args:
        folder: the user's data, such as 100,000 pictures; memory does not grow with their number.
        cache: an SQLite file that recalls digests by path and stamp; it may serve many folders
            and processes at once, and may be deleted at any time.

    Raises:
        UserError: something in the folder cannot be read, is refused, or changes meanwhile.
    """
    tree = hashlib.sha256()
    for path, digest in _files(folder, cache):
        tree.update(b"%s\0%s\n" % (path, digest.encode()))
    return tree.hexdigest()


def tree_files(folder: Path, cache: Path, expected: str = "") -> tuple[str, dict[str, str]]:
    """Return `tree_digest`, and the SHA-256 of each file by its path.

    So each digest is what a key says as well: a file that was changed behind its stamp (its size,
    its time of change and its inode) counts as what it was, in the key and here alike. Both are as
    they are now; or, where the cache recalls the ``expected`` tree, as they were when that was
    made: the folder is not gone through then.
    """
    if expected:
        recalled = _listed(_recalled(folder, cache))
        if recalled[0] == expected:
            return recalled
    return _listed(_files(folder, cache))


def _listed(found: Iterable[tuple[bytes, str]]) -> tuple[str, dict[str, str]]:
    tree, files = hashlib.sha256(), {}
    for path, digest in found:
        tree.update(b"%s\0%s\n" % (path, digest.encode()))
        files[os.fsdecode(path)] = digest
    return tree.hexdigest(), files


def _recalled(folder: Path, cache: Path) -> Iterator[tuple[bytes, str]]:
    """Yield what the cache has of a folder, sorted."""
    with _opened(cache) as database:
        yield from database.execute(_ALL, (os.fsencode(folder.resolve()),))


def file_digest(file: Path, cache: Path) -> str:
    """Return the SHA-256 of a user's own file, such as an archive of gigabytes.

    Args:
        file: the file, or a symbolic link to it.
        cache: as of `tree_digest`, and the same one.

    Raises:
        UserError: it cannot be read, or changes meanwhile.
    """
    path = file.resolve()
    with _opened(cache) as database:
        try:
            refuse_special(path)
            recalled = database.execute(
                _RECALL_FILE, (_NO_FOLDER, os.fsencode(path), *Stamp.of(path.stat()))
            ).fetchone()
        except OSError as error:
            _refuse(path, error)
        if recalled:
            return str(recalled[0])
        settled = time.time_ns() - _SETTLED_NS
        digest, stamp = _stable(path)
        if stamp.mtime_ns < settled:
            with database:
                database.execute(_KEEP, (_NO_FOLDER, os.fsencode(path), *stamp, digest))
        return digest


@contextmanager
def _opened(cache: Path) -> "Iterator[sqlite3.Connection]":
    import sqlite3  # noqa: PLC0415 - most runs digest nothing, and those with nothing to do are fast

    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache, timeout=60)) as database:
            database.executescript(_SCHEMA)
            yield database
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"the cache of file digests, {cache}, cannot be used: {error}",
            "delete the file (it is only a cache) and check that its disk is writable and not full",
        ) from error


def _files(folder: Path, cache: Path) -> Iterator[tuple[bytes, str]]:
    """Yield the path and the SHA-256 of each file of a folder, sorted."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "check the path")
    root = folder.resolve()
    key = os.fsencode(root)
    with _opened(cache) as database:
        with database:
            database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?, NULL)", _stamps(root))
            database.execute(_RECALL, (key,))
        # On its own: SQLite refuses to turn a reader into a writer while others wait to write.
        with database:
            database.execute(_FORGET, (key,))
        _hash_the_rest(root, database)
        yield from database.execute("SELECT path, sha256 FROM seen ORDER BY path")


def _hash_the_rest(root: Path, database: "sqlite3.Connection") -> None:
    """Hash what the cache did not recall, in batches, so that a killed run loses little."""
    query = f"SELECT path FROM seen WHERE sha256 IS NULL LIMIT {_BATCH}"  # noqa: S608
    while missing := database.execute(query).fetchall():
        settled = time.time_ns() - _SETTLED_NS
        hashed = [(path, *_stable(root / os.fsdecode(path))) for (path,) in missing]
        with database:
            database.executemany(
                "UPDATE seen SET sha256 = ? WHERE path = ?",
                [(digest, path) for path, digest, _ in hashed],
            )
            database.executemany(
                _KEEP,
                [
                    (os.fsencode(root), path, *stamp, digest)
                    for path, digest, stamp in hashed
                    if stamp.mtime_ns < settled
                ],
            )


def _stamps(root: Path) -> Iterator[tuple[bytes, int, int, str]]:
    """Yield (relative path, stamp) of every file under ``root``, in no order."""
    folders = [(root, (root,))]  # with the real places of the links that led there
    start = len(os.fsencode(os.path.join(root, "")))  # noqa: PTH118 - with the slash behind it
    while folders:
        folder, through = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        path = Path(entry.path)
                        real = (path.resolve(),) if entry.is_symlink() else ()
                        if set(real) & set(through):
                            _refuse_link(path, "that leads in a circle")
                        folders.append((path, (*through, *real)))
                        continue
                    yield os.fsencode(entry.path)[start:], *_stamp(entry)
        except OSError as error:
            _refuse(folder, error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # such as a link to itself; its stamp says what is wrong


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    try:
        status = entry.stat()
    except OSError as error:
        if entry.is_symlink():
            _refuse_link(Path(entry.path), "that leads nowhere")
        _refuse(Path(entry.path), error)
    if stat.S_ISREG(status.st_mode):
        return Stamp.of(status)
    if entry.is_symlink():
        _refuse_link(Path(entry.path), "to something that is neither a file nor a folder")
    raise UserError(f"{entry.path} is neither a file nor a folder", "move it out of the folder")


def _stable(path: Path) -> tuple[str, Stamp]:
    try:
        digest, before, after = _read(path)
    except OSError as error:
        _refuse(path, error)
    if before != after:
        raise UserError(f"{path} changed while it was read", "try again when nothing writes to it")
    return digest, after


def _read(path: Path) -> tuple[str, Stamp, Stamp]:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        before = Stamp.of(os.fstat(stream.fileno()))
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
        return digest.hexdigest(), before, Stamp.of(os.fstat(stream.fileno()))


def _refuse(path: Path, error: OSError) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise UserError(
            f"{path} vanished while it was looked at", "try again when nothing writes to it"
        ) from error
    raise UserError(
        f"{path} cannot be read: {error.strerror}", "check its permissions and its disk"
    ) from error


def _refuse_link(path: Path, what: str) -> NoReturn:
    raise UserError(
        f"{path} is a symbolic link {what}",
        "replace the link by the files themselves, or remove it",
    )
