"""What an artifact is, and how it is spelled as an OCI manifest.

The config blob is an image config (``application/vnd.oci.image.config.v1+json``) rather than a
media type of our own, because plain ``skopeo inspect`` and everything built on the same library
refuse a manifest whose config they do not know ("unsupported image-specific operation on
artifact", measured with skopeo 1.9.3; ``inspect --raw`` and ``copy`` take both). With an image
config ``skopeo inspect`` prints the labels. ``artifactType`` is what says that this is no image
to run, and the platform is ``unknown``, so nothing tries. The whole provenance is a property of
that config; the specification has readers ignore properties that they do not know.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import oci
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import Descriptor, Manifest

VERSION = 1
_TYPE = re.compile(r"application/vnd\.mmdet-jetson\.([a-z][a-z-]*)\.v(\d+)")
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


def cache_tag(key: str) -> str:
    """The tag that a run looks a result up by; every other tag is a name that somebody uses."""
    return f"cache.{key}"


def is_cache_tag(tag: str) -> bool:
    """Whether a tag is one for runs to look up, and no name."""
    return tag.startswith(cache_tag(""))


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where an artifact comes from. ``created`` is RFC 3339 with its offset, in UTC.

    ``inputs`` maps an input's name to its content digest; ``environment`` is the identity of the
    set of packages the stage ran in; ``seconds`` is how long it ran.
    """

    stage: str
    step: str
    created: str
    source: str = ""
    parameters: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    environment: str = ""
    key: str = ""
    commit: str = ""
    seconds: float = 0.0
    metrics: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    warnings: list[str] = []


@dataclass(frozen=True)
class Layer:
    """One top-level entry of an artifact: a file, or a directory packed as one tar."""

    title: str
    blob: Descriptor

    @property
    def is_directory(self) -> bool:
        """Whether the blob is a tar to unpack."""
        return (self.blob.annotations or {}).get(oci.UNPACK) == "true"

    @property
    def content(self) -> str:
        """The digest of the file, or of the tar before compression."""
        return (self.blob.annotations or {}).get(oci.UNPACKED_DIGEST, self.blob.digest)


@dataclass(frozen=True)
class Artifact:
    """An immutable, typed result of a stage.

    ``digest`` names this very record, its provenance included; ``content`` only what was made.
    Two runs that make the same files have different digests and the same content.
    """

    kind: str
    descriptor: Descriptor
    layers: tuple[Layer, ...]
    provenance: Provenance
    subject: Descriptor | None = None

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return self.descriptor.digest

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.blob.size for layer in self.layers)

    @property
    def content(self) -> str:
        """The digest of the kind, the names and the content of all entries."""
        return self.content_of(None)

    def content_of(self, parts: Sequence[str] | None) -> str:
        """The content digest of some top-level entries only; of all of them for ``None``."""
        entries = sorted((layer.title, layer.content) for layer in self.parts(parts))
        return oci.digest_of(oci.canonical_json([self.kind, entries]))

    def parts(self, titles: Sequence[str] | None) -> list[Layer]:
        """The layers of some top-level entries; ``KeyError`` for one that does not exist."""
        by_title = {layer.title: layer for layer in self.layers}
        return list(self.layers) if titles is None else [by_title[title] for title in titles]


class _Container(msgspec.Struct, frozen=True, rename={"labels": "Labels"}):
    labels: dict[str, str]


class _RootFilesystem(msgspec.Struct, frozen=True):
    type: str
    diff_ids: list[str]


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The config blob: a minimal image config, and the provenance beside it."""

    created: _Instant
    architecture: str
    os: str
    config: _Container
    rootfs: _RootFilesystem
    provenance: Provenance


def artifact_type(kind: str) -> str:
    """The ``artifactType`` of a kind; ``ValueError`` for a kind that cannot be spelled."""
    name = f"application/vnd.mmdet-jetson.{kind}.v{VERSION}"
    if not _TYPE.fullmatch(name):
        raise ValueError(f"not a kind of artifact: {kind!r}")
    return name


def kind_of(manifest: Manifest) -> str | None:
    """The kind a manifest declares; ``None`` for what is not ours, such as an image.

    Raises:
        UserError: it was written by a newer version.
    """
    match = _TYPE.fullmatch(manifest.artifact_type or "")
    if not match:
        return None
    kind, version = match[1], int(match[2])
    if version > VERSION:
        raise UserError(
            f"the store holds a {kind} in format {version}; "
            f"this version of mmdet_jetson reads up to format {VERSION}",
            "update mmdet_jetson, or set MMDET_JETSON_ARTIFACTS to another folder",
        )
    return kind


def encode_config(provenance: Provenance, layers: Sequence[Layer]) -> bytes:
    """The config blob; ``msgspec.ValidationError`` when ``created`` has no offset."""
    labels = {
        f"mmdet-jetson.{name}": getattr(provenance, name)
        for name in ("stage", "step", "environment", "commit", "key")
    }
    return oci.canonical_json(
        ImageConfig(
            created=msgspec.convert(provenance.created, _Instant),
            architecture="unknown",
            os="unknown",
            config=_Container(labels),
            rootfs=_RootFilesystem("layers", [layer.content for layer in layers]),
            provenance=provenance,
        )
    )


def encode_manifest(
    kind: str, config: Descriptor, layers: Sequence[Layer], subject: Descriptor | None
) -> bytes:
    """The manifest blob of an artifact."""
    return oci.canonical_json(
        Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            artifact_type=artifact_type(kind),
            config=config,
            layers=[layer.blob for layer in layers],
            subject=subject,
        )
    )


def layers_of(manifest: Manifest) -> tuple[Layer, ...]:
    """The layers with their titles; ``ValueError`` when one is missing, unsafe or not unique."""
    layers = tuple(
        Layer((blob.annotations or {}).get(oci.TITLE, ""), blob) for blob in manifest.layers
    )
    titles = [layer.title for layer in layers]
    for title in titles:
        if title in ("", ".", "..") or "/" in title or "\0" in title:
            raise ValueError(f"a layer's title is not a file name: {title!r}")
    if len(set(titles)) < len(titles):
        raise ValueError("two layers have the same title")
    return layers


def read(layout: Layout, entry: Descriptor) -> Artifact | None:
    """The artifact that an entry names; ``None`` for what is not ours, such as an image.

    Raises:
        Damaged: its manifest or its config is not what the digest says.
        ValueError: they are, and describe no artifact.
        UserError: it was written by a newer version.
    """
    manifest = layout.manifest(entry)
    kind = kind_of(manifest)
    if not kind or not manifest.config:
        return None
    return decode(kind, entry, manifest, layout.read(manifest.config))


def decode(kind: str, descriptor: Descriptor, manifest: Manifest, config: bytes) -> Artifact:
    """The artifact that a manifest and its config blob describe; ``ValueError`` if they do not."""
    return Artifact(
        kind=kind,
        descriptor=Descriptor(  # as ``put`` spells it, whoever wrote the index entry
            media_type=oci.MANIFEST,
            digest=descriptor.digest,
            size=descriptor.size,
            artifact_type=manifest.artifact_type,
        ),
        layers=layers_of(manifest),
        provenance=msgspec.json.decode(config, type=ImageConfig).provenance,
        subject=manifest.subject,
    )
