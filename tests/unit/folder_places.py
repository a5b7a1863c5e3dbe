"""Folders as places: artifacts pushed to one and pulled from it, and what such a place does wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from small_runs import Run

from mmdet_jetson.registry.folder import Folder, open_folder
from mmdet_jetson.registry.moving import Moved
from mmdet_jetson.registry.pull import pull
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Descriptor, Store
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import MANIFEST, canonical_json, digest_of

RUN_TAGS = {"mugs.train", "mugs.engine-pc", "mugs.evaluate-pc"}
"""The names of a small run, without those by key."""


def push_to(run: Run, folder: Path, *names: str, evidence: bool = True, tag: str = "") -> Moved:
    """Push what the names say from the store of a run."""
    with open_folder("oci:folder", folder, writing=True) as place:
        return push(run.store, names, place, evidence=evidence, tag=tag)


def pull_from(folder: Path, store: Store, *names: str, evidence: bool = True) -> Moved:
    """Pull what the names say into a store."""
    with open_folder("oci:folder", folder, writing=False) as place:
        return pull(place, names, store, evidence=evidence)


def retagged(folder: Path, content: bytes, tag: str, media_type: str = MANIFEST) -> None:
    """Let a tag of a layout name other bytes."""
    layout = Layout(folder)
    pointer = Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
    with layout.staging() as staging:
        staging.add(lambda sink: sink.write(content))
        layout.commit(
            staging, lambda all_: [*(e for e in all_ if e.tag != tag), pointer.tagged(tag)]
        )


def changed_training(run: Run, **changes: object) -> bytes:
    """The manifest of a run's checkpoint, with other fields."""
    manifest = Layout(run.store.root).manifest(run.made["train"].descriptor)
    return canonical_json(msgspec.structs.replace(manifest, **changes))


class Bad(Folder):
    """A folder, parts of which are not as they should be."""

    def __init__(self, root: Path) -> None:
        super().__init__("oci:bad", Layout(root))
        self.change: Callable[[Iterator[bytes]], Iterator[bytes]] = lambda blocks: blocks
        self.large = bytes(range(256)) * 9000
        self.served = 0

    @contextmanager
    def read(self, blob: Descriptor, start: int = 0) -> Iterator[Iterator[bytes]]:
        with super().read(blob, start) as blocks:
            yield self.counted(self.change(blocks) if blob.size == len(self.large) else blocks)

    def counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.served += len(block)
            yield block


def zeros(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """As many bytes, and all of them zero."""
    return (bytes(len(block)) for block in blocks)


def short(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The first block, and no more."""
    yield next(blocks)


def endless(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """More and more bytes."""
    while True:
        yield b"x" * 100_000
