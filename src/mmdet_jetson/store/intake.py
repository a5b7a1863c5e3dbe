"""Blobs and manifests that come into a layout as they are, from elsewhere.

A blob grows in ``.partial/<hex>``, under a lock on that file, so that each has one writer and a
broken transfer goes on where it stopped. Once its digest holds, it waits there for the others: all
that arrived is synced together, then renamed into ``blobs/``, and the index names it last. What is
in ``blobs/`` in its full size is therefore whole, after a power cut too, and is not read again.
"""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors
from mmdet_jetson.locks import lock_in_place
from mmdet_jetson.store.artifact import is_cache_tag
from mmdet_jetson.store.disk import start_writing, sync_files, sync_folder
from mmdet_jetson.store.layers import BLOCK, READ_ONLY, Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import Descriptor, digest_of

Read = Callable[[int], AbstractContextManager[Iterator[bytes]]]
"""The bytes of a blob from a position on, in blocks."""
OnBytes = Callable[[int], None]
Named = Sequence[tuple[Descriptor, Sequence[str]]]
"""Manifests, each with the tags that shall name it."""
UNNAMED = ""
"""Among tags: hold the manifest also as long as what needs it, or what it is about."""
PATIENCE = 0.1  # seconds between two looks at a lock
# No link: in a folder from somebody else it might lead to a file of the user.
_GROWING = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
SMALL = 8 << 20  # bytes; what is larger is synced on its own, while others are still under way


@contextmanager
def taking_in(layout: Layout) -> Iterator["Intake"]:
    """Take blobs into a layout, which is made if there is none; nothing is collected meanwhile.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    with disk_errors(layout.root):
        layout.create()
        with layout.using():
            intake = Intake(layout)
            try:
                yield intake
            finally:
                with suppress(OSError):  # somebody's blob lies there, or none ever did
                    layout.partial.rmdir()


class Intake:
    """One transfer into a layout, by several threads at once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._arrived: dict[str, Descriptor] = {}
        self._guard = threading.Lock()

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there, or has arrived by now."""
        return blob.digest in self._arrived or self._layout.has(blob)

    def arrived(self, blob: Descriptor) -> int:
        """How many bytes of a blob an earlier transfer brought."""
        try:
            return min(self._partial(blob).stat().st_size, blob.size)
        except FileNotFoundError:
            return 0

    def receive(self, blob: Descriptor, read: Read, on_bytes: OnBytes = lambda _: None) -> None:
        """Take a blob in, from where an earlier transfer stopped; nothing to do if it is there.

        ``on_bytes`` is told of bytes that were read; what it raises ends the transfer of the blob.
        What came stays for the next transfer, unless it is wrong.

        Raises:
            Damaged: it is longer or shorter than its descriptor says, or has another digest.
        """
        with self._claimed(blob, on_bytes) as file:
            if file is None:
                return
            file.resume()
            try:
                file.fill(read, on_bytes)
            except Damaged:
                if file.started_at == 0 or file.size:
                    raise
                # What an earlier transfer left was wrong, as after a power cut: once more, afresh.
                file.fill(read, on_bytes)
            file.keep()
            with self._guard:
                self._arrived[blob.digest] = blob

    def add(self, content: bytes, media_type: str) -> Descriptor:
        """Take in a manifest, which is at hand; one that is there and damaged is replaced."""
        blob = Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
        if self._layout.has(blob):
            try:
                self._layout.read(blob)
            except Damaged:
                self._layout.discard(blob)
        if not self.has(blob):
            self.receive(blob, lambda start: nullcontext(iter([content[start:]])))
        return blob

    def read(self, blob: Descriptor) -> bytes:
        """Give a small blob that is there or has arrived, checked.

        Raises:
            Damaged: it is not what its digest says.
        """
        if blob.digest in self._arrived:
            with suppress(FileNotFoundError):  # else another transfer of it gave it its place
                content = self._partial(blob).read_bytes()
                if digest_of(content) != blob.digest:
                    raise Damaged("another transfer changed it meanwhile")
                return content
        return self._layout.read(blob)

    def settle(self) -> None:
        """Have the disk keep all that arrived, and only then count it among the blobs."""
        with self._guard:
            if not self._arrived:
                return
            blobs = self._arrived.values()
            sync_files(self._layout.root, [self._partial(blob) for blob in blobs])
            for blob in blobs:
                self._place(blob)
            sync_folder(self._layout.blobs)
            self._arrived.clear()

    def commit(self, named: Named, keep: Callable[[Descriptor], bool] = lambda _: False) -> None:
        """Name manifests in the index, in one go: all they need has been received.

        A tag that names another manifest moves, unless ``keep`` says of its entry that it stays.
        A manifest without tags is listed unnamed; with `UNNAMED` among them also, unless it has
        another name than a key, which alone would not hold it for long.
        """
        self.settle()

        def edit(entries: list[Descriptor]) -> list[Descriptor]:
            return merged(entries, named, keep)

        entries = self._layout.index().manifests
        if edit(entries) == entries:
            return
        with self._layout.staging() as staging:
            self._layout.commit(staging, edit)

    def _partial(self, blob: Descriptor) -> Path:
        return self._layout.partial / blob.digest.removeprefix("sha256:")

    def _place(self, blob: Descriptor) -> None:
        path, target = self._partial(blob), self._layout.path(blob.digest)
        try:
            # Another transfer may have been told of another size, and then it writes there.
            if path.stat().st_size != blob.size:
                raise UserError(f"{path} was changed meanwhile", "run again")
            path.replace(target)
        except FileNotFoundError:
            if not target.exists():
                raise UserError(f"{path} was removed meanwhile", "run again") from None
            return  # another transfer of the same blob was quicker
        target.chmod(READ_ONLY)

    @contextmanager
    def _claimed(self, blob: Descriptor, on_bytes: OnBytes) -> Iterator["_Growing | None"]:
        """Hold the file that a blob grows in; None once the blob is there, whoever brought it."""
        path = self._partial(blob)
        while not self.has(blob):
            with _opened(path) as stream:
                if lock_in_place(stream, path):
                    file = _Growing(path, stream, blob)
                    try:
                        yield file
                    finally:
                        file.remove_if_empty()
                    return
            time.sleep(PATIENCE)
            on_bytes(0)
        yield None


class _Growing:
    """The file of a blob that is not whole yet, in the hands of its one writer."""

    def __init__(self, path: Path, stream: IO[bytes], blob: Descriptor) -> None:
        self.path = path
        self.size = self.started_at = 0
        self._stream = stream
        self._blob = blob
        self._digest = hashlib.sha256()

    def resume(self) -> None:
        """Digest what an earlier transfer left; more than the whole is nothing."""
        if os.fstat(self._stream.fileno()).st_size > self._blob.size:
            self._empty()
        while block := self._stream.read(BLOCK):
            self._digest.update(block)
            self.size += len(block)
        self.started_at = self.size

    def fill(self, read: Read, on_bytes: OnBytes) -> None:
        """Append the rest of the blob, and check the whole; what is wrong is emptied."""
        if self.size < self._blob.size:
            with read(self.size) as blocks:
                for block in blocks:
                    self._append(block)
                    on_bytes(len(block))
        if self.size < self._blob.size:
            raise Damaged(f"it ends after {self.size} of its {self._blob.size} bytes")
        if f"sha256:{self._digest.hexdigest()}" != self._blob.digest:
            self._empty()
            raise Damaged("its content does not match its digest")

    def keep(self) -> None:
        """Have the disk keep a large file, while others are still under way."""
        if self.size >= SMALL:
            os.fsync(self._stream.fileno())

    def remove_if_empty(self) -> None:
        """Leave nothing where nothing came; an empty blob that is whole stays."""
        if self.size == 0 != self._blob.size:
            self.path.unlink(missing_ok=True)

    def _append(self, block: bytes) -> None:
        if self.size + len(block) > self._blob.size:
            self._empty()
            raise Damaged(f"it is longer than its {self._blob.size} bytes")
        left = memoryview(block)
        while left:
            left = left[self._stream.write(left) :]
        start_writing(self._stream.fileno(), self.size, len(block))
        self._digest.update(block)
        self.size += len(block)

    def _empty(self) -> None:
        self._stream.truncate(0)
        self._stream.seek(0)
        self.size, self._digest = 0, hashlib.sha256()


def _opened(path: Path) -> IO[bytes]:
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            handle = os.open(path, _GROWING, 0o644)
        except FileNotFoundError:
            continue  # another transfer ended just now, and took the empty folder away
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise UserError(f"{path} is a link", "remove it, and run again") from error
        return os.fdopen(handle, "r+b", buffering=0)


def merged(
    entries: list[Descriptor], named: Named, keep: Callable[[Descriptor], bool] = lambda _: False
) -> list[Descriptor]:
    """Entries of an index and new ones among them, as `Intake.commit` says."""
    new = {tag: manifest for manifest, tags in named for tag in tags if tag}
    staying = {
        entry.tag
        for entry in entries
        if entry.tag in new and (entry.digest == new[entry.tag].digest or keep(entry))
    }
    after = [entry for entry in entries if entry.tag not in new or entry.tag in staying]
    after += [manifest.tagged(tag) for tag, manifest in new.items() if tag not in staying]
    held = {entry.digest for entry in after if not is_cache_tag(entry.tag or "")}
    nameless = [m for m, tags in named if m.digest not in held and (UNNAMED in tags or not tags)]
    return after + [manifest.tagged(None) for manifest in nameless]
