"""``oci:FOLDER``: a folder in OCI layout, such as a CI job's artifact or a USB stick."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors
from mmdet_jetson.registry.layout_place import LayoutPlace
from mmdet_jetson.registry.place import Content, OnBytes, PlaceError
from mmdet_jetson.store.intake import Intake, taking_in
from mmdet_jetson.store.layers import BLOCK, Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import Descriptor, Index

INDEX_BYTES = 64 << 20
"""Some 200,000 tags; it is read whole."""


class FolderFiles:
    """The files of a layout in a folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def index(self) -> Index:
        """Read the index, if it has changed."""
        path = self._layout.root / "index.json"
        if path.exists() and path.stat().st_size > INDEX_BYTES:
            raise PlaceError(f"{path} is larger than {INDEX_BYTES >> 20} MB", "name another folder")
        return self._layout.index()

    def size(self, digest: str) -> int | None:
        """How many bytes a blob has."""
        try:
            return self._layout.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, digest: str) -> AbstractContextManager[BinaryIO]:
        """Open a blob."""
        return self._layout.path(digest).open("rb")


class Folder(LayoutPlace):
    """A folder that is read, and written where it was opened for that."""

    def __init__(self, name: str, layout: Layout, opening: ExitStack | None = None) -> None:
        super().__init__(name, FolderFiles(layout))
        self._layout = layout
        self._opening = opening
        self._intake: Intake | None = None
        if opening and layout.exists():  # what is found there has to stay from now on
            self._open_intake()

    def path(self, blob: Descriptor) -> Path:
        """Give the file of a blob, for who reads it without changing it."""
        return self._layout.path(blob.digest)

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there, in its size."""
        return self._intake.has(blob) if self._intake else super().has(blob)

    def write(self, blob: Descriptor, source: Path, on_bytes: OnBytes) -> None:
        """Copy a blob from a file."""

        @contextmanager
        def read(start: int) -> Iterator[Iterator[bytes]]:
            with source.open("rb") as stream:
                stream.seek(start)
                yield iter(lambda: stream.read(BLOCK), b"")

        try:
            self._open_intake().receive(blob, read, on_bytes)
        except Damaged as error:
            raise PlaceError(
                f"blob {blob.digest[:19]} is damaged here: {error}",
                "`invoke verify --mend` removes it, and the next run makes it again",
            ) from error

    def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
        """Add a manifest, and let the tags name it; all that came before counts from now on."""
        intake = self._open_intake()
        with self._guard:
            intake.add(manifest.content, manifest.descriptor.media_type)
            intake.commit([(manifest.descriptor, tags)])

    def _open_intake(self) -> Intake:
        """Begin to write, at the first blob: a push that fails before makes no folder."""
        if self._opening is None:
            raise PlaceError(f"{self.name} is only read here")
        with self._guard:
            if self._intake is None:
                self._intake = self._opening.enter_context(taking_in(self._layout))
            return self._intake


@contextmanager
def open_folder(name: str, root: Path, *, writing: bool) -> Iterator[Folder]:
    """Open a folder in OCI layout; nothing is collected in it meanwhile.

    Raises:
        UserError: it is to be read and is none, or to be written and holds other things.
    """
    layout = Layout(root)
    with disk_errors(root):
        if writing:
            _require_ours(root, layout)
            with ExitStack() as opening:
                yield Folder(name, layout, opening)
        elif not layout.exists():
            raise UserError(f"there is no OCI layout at {root}", "name the folder of one")
        else:
            with layout.using():
                yield Folder(name, layout)


def _require_ours(root: Path, layout: Layout) -> None:
    if not layout.exists() and root.exists() and any(root.iterdir()):
        raise UserError(
            f"{root} holds other things and is no OCI layout", "name a folder that is new or empty"
        )
