"""What a write is made of, staged: layers of files and folders, and pointers to them."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import oci, shards
from mmdet_jetson.store.artifact import Layer
from mmdet_jetson.store.file_layers import compress_file
from mmdet_jetson.store.layers import copy_file, pack_entries
from mmdet_jetson.store.layout import Layout, Staged, Staging
from mmdet_jetson.store.oci import Descriptor
from mmdet_jetson.store.shard_lists import ShardLists
from mmdet_jetson.store.sharding import WORKERS, Sharding, directory
from mmdet_jetson.store.shards import Entry

_MEDIA_TYPES = {
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".log": "text/plain",
    ".py": "text/x-python",
}


_PACKED = frozenset({".json"})
LARGE_TEXT = 1 << 17
"""Bytes from which a JSON file beside a sharded directory is compressed."""


@dataclass(frozen=True)
class Taken:
    """A file that an artifact takes from where it lies, and its SHA-256 in hex, "" if not known."""

    path: str
    sha256: str = ""


Tree = Mapping[str, Taken]
"""Files that lie elsewhere, by their paths in an artifact."""
NONE: Tree = {}


def stage_all(
    folder: Path, taken: Tree, staging: Staging, layout: Layout, lists: ShardLists
) -> list[Layer]:
    """Stage the entries of a folder, and what is taken into them from elsewhere.

    Raises:
        ValueError: there is a link or another special file, or two files in one place.
        UserError: a file changed while it was read.
    """
    elsewhere: dict[str, dict[str, Taken]] = {}
    for place, each in taken.items():
        title, _, inside = place.partition("/")
        elsewhere.setdefault(title, {})[inside] = each
    layers: list[Layer] = []
    files: list[Path] = []
    for title in sorted({path.name for path in folder.iterdir()} | set(elsewhere)):
        path = folder / title
        if title not in elsewhere and (path.is_symlink() or not path.is_dir()):
            files.append(path)
            continue
        entries = _merged(path, elsewhere.get(title, {}))
        if shards.is_large(entries):
            layers += Sharding(title, staging, layout, lists).stage(entries)
        else:
            layers.append(_stage_whole(title, entries, staging))
    beside_large = any(layer.tree for layer in layers)
    with ThreadPoolExecutor(WORKERS) as pool:
        layers += pool.map(lambda path: _stage_file(path, staging, packs=beside_large), files)
    # Sorting keeps the shards of a directory as they are, and older stores' manifests the same.
    return sorted(layers, key=lambda layer: layer.title)


def _stage_file(path: Path, staging: Staging, *, packs: bool) -> Layer:
    """Stage a file; with ``packs`` a large one of text is compressed.

    A COCO file of 20,000 pictures changes as a whole with every picture, and would be most of what
    is stored and sent of ten more.
    """
    if packs and path.suffix in _PACKED and not path.is_symlink() and _size(path) >= LARGE_TEXT:
        digests: list[str] = []
        packed = staging.add(lambda sink: digests.append(compress_file(path, sink)))
        said = {oci.TITLE: path.name + oci.SUFFIX, oci.UNPACKED_DIGEST: digests[0]}
        return Layer(path.name, pointer(packed, oci.COMPRESSED, said))
    blob = staging.add(partial(copy_file, path))
    media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
    return Layer(path.name, pointer(blob, media_type, {oci.TITLE: path.name}))


def _stage_whole(title: str, entries: Sequence[Entry], staging: Staging) -> Layer:
    digests: list[str] = []
    blob = staging.add(lambda sink: digests.append(pack_entries(title, entries, sink)))
    return Layer(title, directory(blob.digest, blob.size, title, digests[0]))


def _merged(folder: Path, taken: Tree) -> list[Entry]:
    """What is in a folder, and what is taken into it, sorted."""
    entries = shards.entries_in(folder) if folder.exists() else []
    there = {entry.path for entry in entries}
    for path, each in taken.items():
        parts = path.split("/")
        if path in there or {"", ".", ".."} & set(parts):
            raise ValueError(f"no place for a file in an artifact: {path!r}")
        try:
            status = os.stat(each.path)  # noqa: PTH116 - of 20,000, each twice as fast
        except FileNotFoundError as error:
            raise UserError(f"{each.path} changed while it was read", "run again") from error
        shards.require_regular(each.path, status.st_mode)
        entries.append(Entry(path, each.path, status.st_size, each.sha256))
    folders = {f"{up}/" for path in taken if "/" in path for up in _above(path)}
    if {folder.rstrip("/") for folder in folders} & {entry.path for entry in entries}:
        raise ValueError(f"a file and a folder have one name in {folder.name}")
    return sorted((each for each in entries if each.path not in folders), key=shards.order)


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def stage_bytes(staging: Staging, content: bytes) -> Staged:
    """Stage what is in memory."""
    return staging.add(lambda sink: sink.write(content))


def pointer(
    blob: Staged,
    media_type: str,
    annotations: dict[str, str] | None = None,
    artifact_type: str | None = None,
) -> Descriptor:
    """Point to a staged blob."""
    return Descriptor(
        media_type=media_type,
        digest=blob.digest,
        size=blob.size,
        annotations=annotations,
        artifact_type=artifact_type,
    )


def _size(path: Path) -> int:
    return path.lstat().st_size
