"""A large directory on its way into a store: known shards are taken, and the rest is packed."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmdet_jetson.store import oci, shards
from mmdet_jetson.store.artifact import Layer
from mmdet_jetson.store.layers import pack_shard, sha256_of
from mmdet_jetson.store.layout import Layout, Staging
from mmdet_jetson.store.oci import Descriptor
from mmdet_jetson.store.shard_lists import ShardLists
from mmdet_jetson.store.shards import Entry, Shard

WORKERS = min(4, os.cpu_count() or 1)
"""Threads that pack shards, or unpack them: digests and disks let others run meanwhile."""


class Sharding:
    """A large directory on its way into a store, as shards."""

    def __init__(self, title: str, staging: Staging, layout: Layout, lists: ShardLists) -> None:
        self._title, self._staging, self._layout = title, staging, layout
        self._lists = lists

    def stage(self, entries: Sequence[Entry]) -> list[Layer]:
        """Take the shards that are there already, and pack the rest."""
        mean = shards.mean_of(entries)
        known = [each for each in self._lists.known(self._title) if each.size <= 8 * mean]
        if known:
            entries = self._digested(entries)
        taken = shards.covering(entries, known, mean)
        by_path = {entry.path: entry for entry in entries}
        runs: list[list[Entry]] = []
        made: list[Shard] = []
        for shard in taken:
            if self._is_there(shard):
                made.append(shard)
            else:  # it is lost or damaged: made again as it was, older artifacts have it again
                runs.append([by_path[path] for path in shard.files])
        covered = {path for shard in taken for path in shard.files}
        runs += shards.cut([entry for entry in entries if entry.path not in covered], mean)
        with ThreadPoolExecutor(WORKERS) as pool:
            made += pool.map(self._pack, runs)
        made.sort(key=lambda shard: min(shard.files))
        tree = shards.tree_of((path, sha) for shard in made for path, sha in shard.files.items())
        return [self._layer(shard, tree) for shard in made]

    def _digested(self, entries: Sequence[Entry]) -> list[Entry]:
        """Know what is in each file: some may be in a shard that is there."""
        unknown = [each for each in entries if not (each.sha256 or each.is_folder)]
        with ThreadPoolExecutor(WORKERS) as pool:
            digests = pool.map(lambda each: sha256_of(Path(each.source)), unknown)
            found = {each.path: digest for each, digest in zip(unknown, digests, strict=True)}
        return [each._replace(sha256=found.get(each.path, each.sha256)) for each in entries]

    def _is_there(self, shard: Shard) -> bool:
        blob = Descriptor(media_type=oci.DIRECTORY, digest=shard.digest, size=shard.size)
        return self._layout.has(blob)

    def _pack(self, run: Sequence[Entry]) -> Shard:
        packed: list[tuple[str, dict[str, str]]] = []
        blob = self._staging.add(lambda sink: packed.append(pack_shard(self._title, run, sink)))
        unpacked, files = packed[0]
        shard = Shard(self._title, blob.digest, blob.size, unpacked, files)
        self._lists.keep(shard)
        return shard

    def _layer(self, shard: Shard, tree: str) -> Layer:
        title = shards.title_of(self._title, shard.unpacked)
        blob = directory(shard.digest, shard.size, title, shard.unpacked)
        return Layer(self._title, blob, tree)


def directory(digest: str, size: int, title: str, unpacked: str) -> Descriptor:
    """Point to a directory, or to a part of one, packed as a tar."""
    return Descriptor(
        media_type=oci.DIRECTORY,
        digest=digest,
        size=size,
        annotations={oci.TITLE: title, oci.UNPACK: "true", oci.UNPACKED_DIGEST: unpacked},
    )
