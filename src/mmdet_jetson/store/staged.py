"""What a write is made of, staged: layers of files and folders, and pointers to them."""

from functools import partial
from pathlib import Path

from mmdet_jetson.store import oci
from mmdet_jetson.store.artifact import Layer
from mmdet_jetson.store.layers import copy_file, pack
from mmdet_jetson.store.layout import Staged, Staging
from mmdet_jetson.store.oci import Descriptor

_MEDIA_TYPES = {
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".log": "text/plain",
    ".py": "text/x-python",
}


def stage(path: Path, staging: Staging) -> Layer:
    """Stage a file, or a folder as one tar; ``ValueError`` for a link or another special file."""
    if path.is_symlink() or not path.is_dir():
        blob = staging.add(partial(copy_file, path))
        media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        return Layer(path.name, pointer(blob, media_type, {oci.TITLE: path.name}))
    digests: list[str] = []
    blob = staging.add(lambda sink: digests.append(pack(path, sink)))
    annotations = {oci.TITLE: path.name, oci.UNPACK: "true", oci.UNPACKED_DIGEST: digests[0]}
    return Layer(path.name, pointer(blob, oci.DIRECTORY, annotations))


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
