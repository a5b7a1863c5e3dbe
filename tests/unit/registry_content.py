"""Blobs and manifests for tests of places."""

from pathlib import Path

from mmdet_jetson.registry.place import Content
from mmdet_jetson.store.oci import INDEX, MANIFEST, Descriptor, canonical_json, digest_of

EMPTY = b"{}"


def blob_of(content: bytes) -> Descriptor:
    """The descriptor of a blob."""
    return Descriptor(
        media_type="application/octet-stream", digest=digest_of(content), size=len(content)
    )


def file_of(content: bytes, folder: Path) -> Path:
    """A file with that content."""
    path = folder / digest_of(content)[7:19]
    path.write_bytes(content)
    return path


def manifest_of(subject: Content | None = None, **fields: object) -> Content:
    """A manifest of nothing but an empty config, which has to be there, and fields of its own."""
    value: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.mug",
        "config": _pointer("application/vnd.oci.empty.v1+json", EMPTY),
        "layers": [],
        **fields,
    }
    if subject:
        value["subject"] = _pointer(subject.descriptor.media_type, subject.content)
    return content_of(value)


def index_of(*manifests: Content) -> Content:
    """An index of manifests."""
    entries = [_pointer(each.descriptor.media_type, each.content) for each in manifests]
    return content_of({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def content_of(value: dict[str, object]) -> Content:
    """A value as JSON."""
    content = canonical_json(value)
    kind = str(value["mediaType"])
    return Content(
        Descriptor(media_type=kind, digest=digest_of(content), size=len(content)), content
    )


def _pointer(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}
