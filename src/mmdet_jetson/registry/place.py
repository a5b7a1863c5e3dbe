"""What a place for artifacts can do, be it a repository of a registry or an OCI layout on disk."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmdet_jetson.errors import UserError
from mmdet_jetson.store.oci import Descriptor

MANIFEST_BYTES = 4 << 20
"""Of a manifest, an index, a list or a provenance; no registry has to take more of a manifest."""
OnBytes = Callable[[int], None]
"""Told how many bytes more have gone over."""


class PlaceError(UserError):
    """A place cannot be reached, refuses, or answers what is wrong."""


@dataclass(frozen=True)
class Content:
    """A manifest or an index as the bytes that it is; they have the descriptor's digest."""

    descriptor: Descriptor
    content: bytes


class Place(Protocol):
    """One repository: blobs, manifests, tags. Used by several threads at once.

    All methods raise `PlaceError`, in one sentence, for what is not as the specification says or
    cannot be had. Nothing that a method returns has another digest than was asked for.
    """

    @property
    def name(self) -> str:
        """What a user calls it, such as ``docker://registry.example.com/team/mugs``; no secrets."""

    @property
    def checks_manifests(self) -> bool:
        """Whether it takes no manifest of which it lacks a blob."""

    def resolve(self, reference: str) -> Descriptor | None:
        """The manifest of a tag or a whole digest; None where there is none."""

    def manifest(self, reference: str) -> Content | None:
        """A manifest or an index by tag or digest, at most 4 MB; None where there is none."""

    def tags(self) -> list[str]:
        """Every tag of the repository; none where there is no such repository."""

    def referrers(self, digest: str) -> list[Descriptor]:
        """Manifests whose subject has this digest."""

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob that is no manifest is there."""

    def read(self, blob: Descriptor, start: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of a blob from ``start`` on, in blocks; the caller digests the whole."""

    def write(self, blob: Descriptor, source: Path, on_bytes: OnBytes) -> None:
        """Add a blob from a file; an upload that broke off goes on where it stopped."""

    def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
        """Add a manifest under tags; all that it needs is there already.

        Where it has a subject, `referrers` of that names it afterwards.
        """
