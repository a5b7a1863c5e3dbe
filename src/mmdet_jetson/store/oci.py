"""The parts of the OCI image specification 1.1 that the store reads and writes."""

import hashlib
from typing import Annotated

import msgspec

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
DIRECTORY = "application/vnd.oci.image.layer.v1.tar+gzip"
COMPRESSED, SUFFIX = "application/gzip", ".gz"
MANIFESTS = frozenset(
    {
        MANIFEST,
        INDEX,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)

TAG = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"
UNPACK = "io.deis.oras.content.unpack"
UNPACKED_DIGEST = "io.deis.oras.content.digest"

LAYOUT_VERSION = b'{"imageLayoutVersion":"1.0.0"}'

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """JSON as the specification writes it; an absent property is the field's default."""


class Descriptor(_Object, frozen=True, kw_only=True):
    """A pointer to a blob: what it is, its digest and its size in bytes."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None
    data: str | None = None
    platform: dict[str, object] | None = None

    @property
    def tag(self) -> str | None:
        """The name that an index entry gives its manifest."""
        return (self.annotations or {}).get(TAG)

    @property
    def is_manifest(self) -> bool:
        """Whether the blob itself holds descriptors."""
        return self.media_type in MANIFESTS

    def tagged(self, tag: str | None) -> "Descriptor":
        """The same pointer as an entry of an index, under a name or under none."""
        others = {k: v for k, v in (self.annotations or {}).items() if k != TAG}
        named = others | {TAG: tag} if tag else others
        return msgspec.structs.replace(self, annotations=named or None)


class Manifest(_Object, frozen=True, kw_only=True):
    """An image manifest or an image index: whatever points to other blobs."""

    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: list[Descriptor] = []
    manifests: list[Descriptor] = []
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    def references(self) -> list[Descriptor]:
        """Every blob that this manifest needs, the artifact it refers to included."""
        single = [blob for blob in (self.config, self.subject) if blob]
        return [*single, *self.layers, *self.manifests]


class Index(_Object, frozen=True, kw_only=True):
    """``index.json``: the entry points of a layout, one descriptor a tag."""

    schema_version: int
    manifests: list[Descriptor]
    media_type: str | None = None
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


def digest_of(content: bytes) -> str:
    """The digest of a blob, as descriptors write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def canonical_json(value: object) -> bytes:
    """The same bytes for the same value, whatever the order its keys were set in."""
    return msgspec.json.encode(value, order="sorted")
