"""Artifacts out of a store: every blob is checked while it is read, and goes if it is damaged."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors, make_folder, move_new
from mmdet_jetson.store.artifact import Artifact, Layer
from mmdet_jetson.store.bundles import Bundle
from mmdet_jetson.store.checkouts import Checkouts
from mmdet_jetson.store.layers import Damaged, unpack, write_file
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.shard_lists import ShardLists
from mmdet_jetson.store.sharding import WORKERS


class Reader:
    """Reads the artifacts of one store. `Store.checkout` and `Store.read` say how."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def checkout(
        self, artifact: Artifact, folder: Path, parts: Sequence[str] | None, *, shared: bool
    ) -> None:
        """Create ``folder`` with an artifact's files, or with some of its top-level entries."""
        layers = artifact.parts(parts)
        linked = [each for each in artifact.entries if shared and each.layers[0].tree]
        linked = [each for each in linked if parts is None or each.title in parts]
        layers = [layer for layer in layers if not (shared and layer.tree)]
        if folder.exists():
            raise FileExistsError(folder)
        partial_folder = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial_folder, ignore_errors=True)
        with disk_errors(folder.parent), self._layout.using():
            try:
                make_folder(partial_folder)
                with ThreadPoolExecutor(WORKERS) as pool:
                    making = partial(self._materialise, artifact, folder=partial_folder)
                    for _ in pool.map(making, layers):
                        pass
                for entry in linked:
                    self.checkouts(artifact).link(entry, partial_folder / entry.title)
                move_new(partial_folder, folder)
            finally:
                shutil.rmtree(partial_folder, ignore_errors=True)

    def read(self, artifact: Artifact, title: str) -> bytes:
        """Read one top-level file of an artifact, checked."""
        (layer,) = artifact.parts([title])
        with disk_errors(self._layout.root), self._layout.using(), self._mending(artifact, layer):
            return self._layout.read(layer.blob)

    def checkouts(self, artifact: Artifact | None = None) -> Checkouts:
        """The checkouts that jobs share; only for an artifact can one be made."""

        def unpack_into(layer: Layer, folder: Path) -> None:
            assert artifact
            self._materialise(artifact, layer, folder=folder)

        def files(layer: Layer) -> Mapping[str, str]:
            assert artifact
            with self._mending(artifact, layer):
                return ShardLists(self._layout).of(layer).files

        return Checkouts(self._layout.root, unpack_into, files)

    def _materialise(self, artifact: Artifact, layer: Layer, *, folder: Path) -> None:
        with self._mending(artifact, layer), self._layout.open(layer.blob) as reader:
            if layer.is_directory:
                unpack(reader, folder, layer.title)
            else:
                write_file(reader, folder / layer.title)

    @contextmanager
    def _mending(self, artifact: Artifact, layer: Layer) -> Iterator[None]:
        """Remove a blob that turns out to be damaged, so that the next run makes it anew."""
        try:
            yield
        except Damaged as error:
            self._layout.discard(layer.blob)
            raise UserError(
                f"{layer.title} of {name_of(artifact)} in {self._layout.root} is damaged: {error}",
                "run again: it is made anew; `invoke verify` checks the rest of the store, "
                "`invoke gc` frees what is damaged",
            ) from error


def name_of(artifact: Artifact | Bundle) -> str:
    """What a sentence calls it: its kind, and the first digits of its digest."""
    return f"{artifact.kind} {artifact.digest.removeprefix('sha256:')[:12]}"
