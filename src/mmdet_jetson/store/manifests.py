"""How an artifact is written as an OCI manifest, and read from one.

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
from datetime import datetime
from typing import Annotated

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import oci, shards
from mmdet_jetson.store.artifact import Artifact, Layer, Provenance
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import Descriptor, Manifest

PLAIN, SHARDED = 1, 2
"""Formats: with one layer for each entry as it is, and with several for a large directory.

In the second the large JSON files beside such a directory are compressed.
"""
VERSION = SHARDED
TREE = "mmdet-jetson.tree."
"""Begins the annotations of a manifest that tell the content of its sharded directories."""
KIND_OF, FORMAT_OF = "mmdet-jetson.kind", "mmdet-jetson.format"
"""Annotations of an index, which has no ``artifactType`` (`store.bundles`)."""
_TYPE = re.compile(r"application/vnd\.mmdet-jetson\.([a-z][a-z-]*)\.v(\d+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


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


def artifact_type(kind: str, layers: Sequence[Layer] = ()) -> str:
    """The ``artifactType`` of a kind; ``ValueError`` for a kind that is no name.

    What has no shards is what it always was, so that older versions go on reading it.
    """
    is_plain = not any(layer.tree or layer.is_compressed for layer in layers)
    version = PLAIN if is_plain else SHARDED
    name = f"application/vnd.mmdet-jetson.{kind}.v{version}"
    if not _TYPE.fullmatch(name):
        raise ValueError(f"not a kind of artifact: {kind!r}")
    return name


def kind_of(manifest: Manifest) -> str | None:
    """The kind a manifest or an index declares; ``None`` for what is not ours, such as an image.

    Raises:
        UserError: it was written by a newer version.
    """
    declared = manifest.artifact_type or ("" if manifest.config else _annotated(manifest))
    match = _TYPE.fullmatch(declared)
    if not match:
        return None
    kind, version = match[1], int(match[2])
    if version > VERSION:
        raise UserError(
            f"there is a {kind} in format {version}, and "
            f"this version of mmdet_jetson reads up to format {VERSION}",
            "update mmdet_jetson, or set MMDET_JETSON_ARTIFACTS to another folder",
        )
    return kind


def _annotated(index: Manifest) -> str:
    """The type that an index would have, were it written there."""
    said = index.annotations or {}
    return f"application/vnd.mmdet-jetson.{said.get(KIND_OF)}.v{said.get(FORMAT_OF)}"


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
            rootfs=_RootFilesystem("layers", [layer.unpacked for layer in layers]),
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
            artifact_type=artifact_type(kind, layers),
            config=config,
            layers=[layer.blob for layer in layers],
            subject=subject,
            annotations={TREE + layer.title: layer.tree for layer in layers if layer.tree} or None,
        )
    )


def layers_of(manifest: Manifest) -> tuple[Layer, ...]:
    """The layers with their titles; ``ValueError`` when one is missing, unsafe or not unique.

    Shards of one directory share its title, and only they do.
    """
    trees = manifest.annotations or {}
    layers = []
    for blob in manifest.layers:
        said = (blob.annotations or {}).get(oci.TITLE, "")
        packed = blob.media_type == oci.COMPRESSED
        title = said.removesuffix(oci.SUFFIX) if packed else shards.directory_of(said)
        tree = trees.get(TREE + title, "") if title != said and not packed else ""
        if title in ("", ".", "..") or "/" in title or "\0" in title:
            raise ValueError(f"a layer's title is not a file name: {said!r}")
        layer = Layer(title, blob, tree)
        if packed and (title == said or not _DIGEST.fullmatch(layer.unpacked)):
            raise ValueError(f"a compressed file does not say what is in it: {said!r}")
        if title != said and not packed and not (_DIGEST.fullmatch(tree) and layer.is_directory):
            raise ValueError(f"a shard's directory has no content: {said!r}")
        layers.append(layer)
    whole = [layer.title for layer in layers if not layer.tree]
    if len(set(whole)) < len(whole) or {each.title for each in layers if each.tree} & set(whole):
        raise ValueError("two layers have the same title")
    return tuple(layers)


def read_artifact(layout: Layout, entry: Descriptor) -> Artifact | None:
    """The artifact that an entry names; ``None`` for what is not ours, such as an image.

    Raises:
        Damaged: its manifest or its config is not what the digest says.
        ValueError: they are, and describe no artifact.
        UserError: it was written by a newer version.
    """
    manifest = layout.manifest(entry)
    if not kind_of(manifest) or not manifest.config:
        return None
    return decode_artifact(entry, manifest, layout.read(manifest.config))


def decode_artifact(descriptor: Descriptor, manifest: Manifest, config: bytes) -> Artifact:
    """The artifact that a manifest and its config blob describe; ``ValueError`` if they do not."""
    kind = kind_of(manifest)
    if kind is None:
        raise ValueError(f"{manifest.artifact_type} is no artifact of ours")
    return Artifact(
        kind=kind,
        descriptor=Descriptor(  # as ``put`` writes it, whoever wrote the index entry
            media_type=oci.MANIFEST,
            digest=descriptor.digest,
            size=descriptor.size,
            artifact_type=manifest.artifact_type,
        ),
        layers=layers_of(manifest),
        provenance=msgspec.json.decode(config, type=ImageConfig).provenance,
        subject=manifest.subject,
    )
