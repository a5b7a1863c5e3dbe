"""A bundle: an OCI index over artifacts, whose digest is a release.

It is an index of its own beside ``index.json``, a blob like any manifest. Its parts are pointed to
by descriptors whose annotations say what each is, so who has the index alone knows what is in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdet_jetson.store import oci
from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.manifests import artifact_type, kind_of
from mmdet_jetson.store.oci import Descriptor, Manifest

KIND = "bundle"


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


def encode(parts: Sequence[Descriptor], annotations: Mapping[str, str]) -> bytes:
    """The index as a blob: the same bytes for the same parts in the same order."""
    return oci.canonical_json(
        Manifest(
            schema_version=2,
            media_type=oci.INDEX,
            artifact_type=artifact_type(KIND),
            manifests=list(parts),
            annotations=dict(annotations),
        )
    )


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
    if kind_of(manifest) != KIND:
        return None
    parts = tuple(manifest.manifests)
    return Bundle(pointer(entry.digest, entry.size), parts, manifest.annotations or {})
