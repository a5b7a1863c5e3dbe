"""A bundle: an OCI index over artifacts, whose digest is a release.

It is an index of its own beside ``index.json``, a blob like any manifest. Its parts are pointed to
by descriptors whose annotations say what each is, so who has the index alone knows what is in it.

Its bytes are those that Go's types of the image specification 1.0 write, in their order, without
``artifactType``: skopeo 1.9.3 (Debian 12) reads an index into these types and writes it anew, and
what has a field that they lack, or another order, arrives with another digest (measured: with
``artifactType`` the copy of a bundle had one). An annotation says instead that it is a bundle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mmdet_jetson.store import oci
from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.manifests import FORMAT_OF, KIND_OF, PLAIN, artifact_type, kind_of
from mmdet_jetson.store.oci import Descriptor, Manifest

KIND = "bundle"
# Go's encoder escapes these, wherever they stand; in JSON they only stand in strings.
_ESCAPED = {b"<": b"\\u003c", b">": b"\\u003e", b"&": b"\\u0026"}


@dataclass(frozen=True)
class Bundle:
    """An index over artifacts, each pointed to with annotations of its own."""

    descriptor: Descriptor
    parts: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    kind = KIND

    @property
    def digest(self) -> str:
        """The digest of the index."""
        return self.descriptor.digest


def annotated(annotations: Mapping[str, str]) -> dict[str, str]:
    """What an index says of itself, and that it is a bundle."""
    return {**annotations, KIND_OF: KIND, FORMAT_OF: str(PLAIN)}


def encode(parts: Sequence[Descriptor], annotations: Mapping[str, str]) -> bytes:
    """The index as a blob: the same bytes for the same parts in the same order."""
    index = Manifest(
        schema_version=2,
        media_type=oci.INDEX,
        manifests=list(parts),
        annotations=dict(annotations),
    )
    content = msgspec.json.encode(index, order="deterministic")
    for character, escaped in _ESCAPED.items():
        content = content.replace(character, escaped)
    return content


def pointer(digest: str, size: int) -> Descriptor:
    """Point to a bundle."""
    return Descriptor(
        media_type=oci.INDEX, digest=digest, size=size, artifact_type=artifact_type(KIND)
    )


def read_bundle(layout: Layout, entry: Descriptor) -> Bundle | None:
    """The bundle that an entry names; None for what is none, or is not what its digest says.

    Raises:
        UserError: it was written by a newer version.
    """
    if entry.media_type != oci.INDEX:
        return None
    try:
        manifest = layout.manifest(entry)
    except Damaged:
        return None  # ``verify`` says so
    if kind_of(manifest) != KIND or manifest.config:
        return None
    parts, said = tuple(manifest.manifests), manifest.annotations or {}
    return Bundle(pointer(entry.digest, entry.size), parts, said)
