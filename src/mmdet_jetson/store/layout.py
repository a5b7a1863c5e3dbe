"""An OCI image layout on disk that survives being killed, and shared by many processes.

Two locks, released by the kernel when their holder dies:

``.in-use.lock``
    shared by whoever reads or adds blobs, exclusive for whoever removes some. Temporary files
    are made only while it is shared, so who holds it exclusively knows that every temporary
    file is a dead writer's, and that no writer counts on a blob it is about to remove.
``.lock``
    exclusive for whoever replaces ``index.json``, for as long as that takes.

A write is prepared in ``.tmp/``, the new ``index.json`` included: everything that needs space or
can fail for other reasons happens there. Then blobs are renamed into place, and the index last.
A kill between these leaves blobs that nothing points to, which is a valid layout.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import msgspec
import portalocker

from mmdet_jetson.files import make_folder
from mmdet_jetson.locks import hold
from mmdet_jetson.store import oci
from mmdet_jetson.store.disk import sync, sync_folder, write
from mmdet_jetson.store.layers import READ_ONLY, Damaged, HashingReader, HashingWriter
from mmdet_jetson.store.listing import EMPTY, Listed, Listing
from mmdet_jetson.store.oci import Descriptor, Index, Manifest

Edit = Callable[[list[Descriptor]], list[Descriptor]]


@dataclass(frozen=True)
class Staged:
    """A blob that is written and synced, but not yet in its place."""

    path: Path
    digest: str
    size: int


class Staging:
    """The temporary folder of one write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs: list[Staged] = []
        self._numbers = itertools.count()

    def add(self, fill: Callable[[HashingWriter], object]) -> Staged:
        """Store what ``fill`` writes; several threads may."""
        path = self.folder / str(next(self._numbers))
        with path.open("xb") as stream:
            sink = HashingWriter(stream)
            fill(sink)
            sync(stream)
        path.chmod(READ_ONLY)
        staged = Staged(path, sink.digest, sink.size)
        self.blobs.append(staged)
        return staged


class Layout:
    """The folder, its locks, its blobs and its index. Knows nothing of artifacts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = f"{root}/blobs/sha256/"
        self._listed = Listed(root / "index.json", self.marker)

    @property
    def blobs(self) -> Path:
        """The folder of all blobs."""
        return self.root / "blobs/sha256"

    @property
    def temporary(self) -> Path:
        """The folder of writes that are under way, or whose writer died."""
        return self.root / ".tmp"

    @property
    def partial(self) -> Path:
        """The folder of blobs on their way from elsewhere; a broken transfer goes on from there."""
        return self.root / ".partial"

    @property
    def marker(self) -> Path:
        """The file that says: this folder is an OCI image layout."""
        return self.root / "oci-layout"

    @property
    def _in_use(self) -> Path:
        return self.root / ".in-use.lock"

    def exists(self) -> bool:
        """Whether there is anything of a layout; other things may be in the folder all along."""
        return any(path.exists() for path in (self.marker, self.blobs, self.root / "index.json"))

    def is_only_begun(self) -> bool:
        """Whether it is what a creator leaves that was killed at once; the next one goes on."""
        begun = self.marker.exists() or (self.root / "index.json").exists()
        return not begun and self.blobs.is_dir() and not any(self.blobs.iterdir())

    def path(self, digest: str) -> Path:
        """Where the blob of a digest is, or would be."""
        return self.blobs / digest.removeprefix("sha256:")

    def _file(self, blob: Descriptor) -> str:
        """As `path`, in a tenth of the time: a look at a whole store asks for a million."""
        return self._blobs + blob.digest.removeprefix("sha256:")

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there in its full size; its content is not read."""
        try:
            return os.stat(self._file(blob)).st_size == blob.size  # noqa: PTH116
        except FileNotFoundError:
            return False

    @contextmanager
    def open(self, blob: Descriptor) -> Iterator[HashingReader]:
        """Open a blob; whoever reads it calls ``finish`` to check it.

        Raises:
            Damaged: it is missing.
        """
        try:
            stream = open(self._file(blob), "rb")  # noqa: PTH123, SIM115 - closed below
        except FileNotFoundError as error:
            raise Damaged("it is missing") from error
        with stream:
            yield HashingReader(stream, blob.digest)

    def read(self, blob: Descriptor) -> bytes:
        """A small blob's content, checked; ``Damaged`` if it is not what the digest says."""
        with self.open(blob) as reader:
            content = reader.read(blob.size)
            reader.finish()
        return content

    def manifest(self, blob: Descriptor) -> Manifest:
        """A manifest or an index; ``Damaged`` if it is not what the digest says, or is neither."""
        try:
            return msgspec.json.decode(self.read(blob), type=Manifest)
        except msgspec.DecodeError as error:
            raise Damaged(f"it is not a manifest ({error})") from error

    def listing(self) -> Listing:
        """``index.json`` as it is now, to look entries up in.

        Raises:
            BrokenIndex: it is not an index, or it is missing from a layout.
        """
        return self._listed.now()

    def index(self) -> Index:
        """``index.json`` as it is now; the same object while it is the same.

        Raises:
            BrokenIndex: as `listing`.
        """
        return self.listing().index

    def using(self) -> AbstractContextManager[None]:
        """Keep blobs from being removed meanwhile; works on a read-only file system."""
        lock = self._in_use
        return _locked(lock, portalocker.LockFlags.SHARED) if lock.exists() else nullcontext()

    def alone(self) -> AbstractContextManager[None]:
        """Keep every reader and writer away meanwhile."""
        self.create()
        return _locked(self._in_use, portalocker.LockFlags.EXCLUSIVE)

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        """A place to prepare a write in; it is gone afterwards, whatever happened."""
        self.create()
        self._sweep_if_unused()
        with self.using(), tempfile.TemporaryDirectory(dir=self.temporary) as folder:
            yield Staging(Path(folder))

    def commit(self, staging: Staging, edit: Edit) -> None:
        """Put staged blobs into place, then replace the entries of the index.

        A blob that exists is replaced by the same content: that costs nothing here, and mends
        one that was damaged.
        """
        with hold(self.root / ".lock"):
            before = self.index()
            index = msgspec.structs.replace(before, manifests=edit(before.manifests))
            prepared = staging.folder / "index.json"
            write(prepared, oci.canonical_json(index))
            for blob in staging.blobs:
                blob.path.replace(self.path(blob.digest))
            sync_folder(self.blobs)
            self._listed.replace(prepared, index)
            sync_folder(self.root)

    def replace_entries(self, entries: list[Descriptor]) -> None:
        """Set the entries of the index; the caller is ``alone``."""
        with tempfile.TemporaryDirectory(dir=self.temporary) as folder:
            self.commit(Staging(Path(folder)), lambda _: entries)

    def rewrite(self, index: Index) -> None:
        """Set the index and the marker, whatever is in their place; the caller is ``alone``."""
        with hold(self.root / ".lock"):
            self._replace(self.root / "index.json", oci.canonical_json(index))
            self._replace(self.marker, oci.LAYOUT_VERSION)

    def set_index_aside(self) -> Path | None:
        """Keep a file that cannot be read under another name; None where there is none."""
        path = self.root / "index.json"
        return path.replace(path.with_name("index.json.damaged")) if path.exists() else None

    def discard(self, blob: Descriptor) -> None:
        """Remove a damaged blob, so that what needs it is made again instead of found."""
        try:
            self.path(blob.digest).unlink(missing_ok=True)
        except OSError:
            return  # a store that cannot be written stays as it is

    def partials(self) -> list[Path]:
        """What broken transfers left, for who is ``alone``: else transfers at work have some."""
        return sorted(self.partial.glob("*"))

    def sweep(self) -> int:
        """Remove what dead writers left; the caller is ``alone``. Returns the bytes freed.

        What arrived of a transfer stays: only ``gc`` takes it.
        """
        size = 0
        for folder in self.temporary.iterdir():
            size += sum(path.stat().st_size for path in folder.rglob("*"))
            shutil.rmtree(folder)
        return size

    def create(self) -> None:
        """Make the layout if there is none, or complete one: a killed creator's, or skopeo's."""
        if all(path.exists() for path in (self.marker, self.blobs, self.temporary, self._in_use)):
            return
        make_folder(self.blobs)
        with hold(self.root / ".lock"):
            self.temporary.mkdir(exist_ok=True)
            self._in_use.touch()
            if self.marker.exists():
                return
            # Blobs without an index are a damaged layout, which an empty index would hide.
            if not (self.root / "index.json").exists() and not any(self.blobs.iterdir()):
                self._replace(self.root / "index.json", oci.canonical_json(EMPTY))
            self._replace(self.marker, oci.LAYOUT_VERSION)

    def _replace(self, path: Path, content: bytes) -> None:
        """Write a file by way of the temporary folder, where nothing outlives a killed writer."""
        with tempfile.TemporaryDirectory(dir=self.temporary) as folder:
            prepared = Path(folder) / path.name
            write(prepared, content)
            prepared.replace(path)

    def _sweep_if_unused(self) -> None:
        if not any(self.temporary.iterdir()):
            return
        flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
        try:
            with _locked(self._in_use, flags):
                self.sweep()
        except portalocker.LockException:
            return  # a writer is at work; the next one, or ``gc``, sweeps


@contextmanager
def _locked(path: Path, flags: portalocker.LockFlags) -> Iterator[None]:
    with path.open("rb") as stream:
        portalocker.lock(stream, flags)
        yield
