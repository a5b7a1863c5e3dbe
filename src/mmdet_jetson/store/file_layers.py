"""The file of a layer: as it is, or compressed."""

import gzip
import hashlib
import zlib
from pathlib import Path

from mmdet_jetson.store.artifact import Layer
from mmdet_jetson.store.layers import BLOCK, Damaged, HashingReader, Sink, Source, create
from mmdet_jetson.store.shards import require_regular

_LEVEL = 2  # half the time of 3, and of COCO's JSON a fifth is left as well


def compress_file(path: Path, sink: Sink) -> str:
    """Write a regular file to ``sink``, compressed; returns the digest of what is in it.

    The blob may differ between versions of zlib, but no key depends on it. ``ValueError`` as
    `copy_file`.
    """
    require_regular(path, path.lstat().st_mode)
    digest = hashlib.sha256()
    with (
        path.open("rb") as source,
        gzip.GzipFile("", "wb", _LEVEL, sink, mtime=0) as target,  # type: ignore[call-overload]
    ):
        while block := source.read(BLOCK):
            digest.update(block)
            target.write(block)
    return f"sha256:{digest.hexdigest()}"


class Decompressing:
    """Reads what is in a compressed file; ``Damaged`` where that is not what its layer says."""

    def __init__(self, blob: Source, unpacked: str) -> None:
        self._stream = gzip.GzipFile(fileobj=blob, mode="rb")  # type: ignore[call-overload]
        self._expected, self._hash = unpacked, hashlib.sha256()

    def read(self, size: int = BLOCK) -> bytes:
        """Read at most ``size`` bytes."""
        try:
            data: bytes = self._stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
                raise
            raise Damaged("it cannot be decompressed") from error
        self._hash.update(data)
        if not data and f"sha256:{self._hash.hexdigest()}" != self._expected:
            raise Damaged("what is in it does not match its digest")
        return data


def file_content(blob: HashingReader, layer: Layer) -> Source:
    """Read the file of a layer, be it compressed or not; ``blob`` is checked by its `finish`."""
    return Decompressing(blob, layer.unpacked) if layer.is_compressed else blob


def read_whole(source: Source) -> bytes:
    """All that is left to read, for what fits into memory."""
    return b"".join(iter(lambda: source.read(BLOCK), b""))


def write_file(blob: HashingReader, path: Path, layer: Layer) -> None:
    """Create a read-only file from a file layer; ``Damaged`` when it does not match its digest."""
    create(path, file_content(blob, layer))
    blob.finish()
