"""Which files are in the shards of a store, so that nobody has to read them to know.

``.shards/`` has a file for each, named as its blob. That is a cache: what is missing or damaged is
read again of the blob, and the folder may be deleted at any time. The list of a blob that is gone
is kept until the next collection, since a shard that was damaged is made again by it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from mmdet_jetson.store.artifact import Layer
from mmdet_jetson.store.layers import file_digests
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.shards import Shard

FOLDER = ".shards"


class ShardLists:
    """The lists of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folder = layout.root / FOLDER

    def keep(self, shard: Shard) -> None:
        """Write the list of a shard; where it cannot be written, the blob is read next time."""
        content = _encode(shard)
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            handle, path = tempfile.mkstemp(dir=self._folder, prefix=".")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                os.replace(path, self._path(shard.digest))  # noqa: PTH105
            except OSError:
                Path(path).unlink(missing_ok=True)

    def known(self, directory: str) -> Iterator[Shard]:
        """The shards of directories of that name, be their blobs still there or not."""
        with suppress(FileNotFoundError):
            for path in sorted(self._folder.glob("[!.]*")):
                shard = _decode(f"sha256:{path.name}", path)
                if shard and shard.title == directory:
                    yield shard

    def of(self, layer: Layer) -> Shard:
        """What is in a shard.

        Raises:
            Damaged: that is in no list, and the blob cannot be read either.
        """
        known = _decode(layer.blob.digest, self._path(layer.blob.digest))
        if known and (known.title, known.unpacked) == (layer.title, layer.unpacked):
            return known
        with self._layout.open(layer.blob) as reader:
            files = dict(file_digests(reader, folders=True))
        shard = Shard(layer.title, layer.blob.digest, layer.blob.size, layer.unpacked, files)
        self.keep(shard)
        return shard

    def forget(self) -> None:
        """Remove the lists of blobs that are gone."""
        for path in self._folder.glob("*"):
            if not self._layout.path(path.name).exists():
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")


def _encode(shard: Shard) -> bytes:
    """A digest of the rest, then fields that end in zero bytes, since names may hold all else."""
    fields = [shard.title, str(shard.size), shard.unpacked]
    for path, digest in shard.files.items():
        fields += [path, digest]
    body = "\0".join(fields).encode("utf-8", "surrogateescape")
    return sha256(body).hexdigest().encode() + body


def _decode(digest: str, path: Path) -> Shard | None:
    try:
        content = path.read_bytes()
        body = content[64:]
        if sha256(body).hexdigest().encode() != content[:64]:
            return None
        title, size, unpacked, *files = body.decode("utf-8", "surrogateescape").split("\0")
        pairs = dict(zip(files[::2], files[1::2], strict=True))
        return Shard(title, digest, int(size), unpacked, pairs)
    except (OSError, ValueError):
        return None
