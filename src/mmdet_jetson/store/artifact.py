"""What an artifact is: named layers, and where they come from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import msgspec

from mmdet_jetson.store import oci
from mmdet_jetson.store.oci import Descriptor


def cache_tag(key: str) -> str:
    """The tag that a run looks a result up by; every other tag is a name that somebody uses."""
    return f"cache.{key}"


def is_cache_tag(tag: str) -> bool:
    """Whether a tag is one for runs to look up, and no name."""
    return tag.startswith(cache_tag(""))


_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where an artifact comes from. ``created`` is RFC 3339 with its offset, in UTC.

    ``inputs`` maps an input's name to its content digest; ``environment`` is the identity of the
    set of packages the stage ran in; ``seconds`` is how long it ran.
    """

    stage: str
    step: str
    created: str
    source: str = ""
    parameters: Mapping[str, object] = {}
    inputs: Mapping[str, str] = {}
    environment: str = ""
    key: str = ""
    commit: str = ""
    seconds: float = 0.0
    metrics: Mapping[str, object] = {}
    facts: Mapping[str, object] = {}
    warnings: list[str] = []


def moment_of(created: str) -> datetime | None:
    """A time as RFC 3339 has it, to the second, in UTC; None for anything else.

    What `datetime` itself takes, such as "Z", differs between versions of Python, and what a
    verdict says must not.
    """
    told = _RFC3339.fullmatch(created)
    try:
        when = datetime.fromisoformat(told[1] + told[2].replace("Z", "+00:00")) if told else None
        return when and when.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def age_in_days(made: Provenance) -> float | None:
    """How long ago something was made; None where it does not say so, as only others write it."""
    when = moment_of(made.created)
    return (datetime.now(timezone.utc) - when).total_seconds() / 86400 if when else None


@dataclass(frozen=True)
class Layer:
    """One top-level entry of an artifact: a file, or a directory packed as one tar.

    A file may be compressed; its content is that of what is in it, so no key depends on that.

    A large directory is several layers with its title, each a tar of some of its files, and
    ``tree`` is the digest of all of them (`store.shards.tree_of`).
    """

    title: str
    blob: Descriptor
    tree: str = ""

    @property
    def is_directory(self) -> bool:
        """Whether the blob is a tar to unpack."""
        return (self.blob.annotations or {}).get(oci.UNPACK) == "true"

    @property
    def is_compressed(self) -> bool:
        """Whether the blob is a file to unpack (`store.file_layers.compress_file`)."""
        return self.blob.media_type == oci.COMPRESSED

    @property
    def unpacked(self) -> str:
        """The digest of the file, or of the tar before compression."""
        return (self.blob.annotations or {}).get(oci.UNPACKED_DIGEST, self.blob.digest)

    @property
    def content(self) -> str:
        """The digest of the whole entry, however many layers it is."""
        return self.tree or self.unpacked


@dataclass(frozen=True)
class Entry:
    """A top-level entry, whole: ``size`` is in bytes of all its ``layers``."""

    title: str
    layers: tuple[Layer, ...]

    @property
    def content(self) -> str:
        """The digest of what is in it."""
        return self.layers[0].content

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.layers[0].is_directory

    @property
    def size(self) -> int:
        """Bytes of all its layers."""
        return sum(layer.blob.size for layer in self.layers)


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
    def titles(self) -> frozenset[str]:
        """The names of all top-level entries."""
        return frozenset(layer.title for layer in self.layers)

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
        entries = sorted({(layer.title, layer.content) for layer in self.parts(parts)})
        return oci.digest_of(oci.canonical_json([self.kind, entries]))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The top-level entries, in the order of their first layers."""
        return tuple(Entry(title, tuple(layers)) for title, layers in self._by_title().items())

    def parts(self, titles: Sequence[str] | None) -> list[Layer]:
        """The layers of some top-level entries; ``KeyError`` for one that does not exist."""
        if titles is None:
            return list(self.layers)
        by_title = self._by_title()
        return [layer for title in titles for layer in by_title[title]]

    def _by_title(self) -> dict[str, list[Layer]]:
        found: dict[str, list[Layer]] = {}
        for layer in self.layers:
            found.setdefault(layer.title, []).append(layer)
        return found
