"""An OCI image layout as a place: what is the same for a folder and for an archive of it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.place import MANIFEST_BYTES, Content, OnBytes, PlaceError
from mmdet_jetson.store.layers import BLOCK
from mmdet_jetson.store.naming import is_tag
from mmdet_jetson.store.oci import Descriptor, Index, Manifest, digest_of


class Files(Protocol):
    """Where the files of a layout are."""

    def index(self) -> Index:
        """Give ``index.json`` as it is now; the same object while it is the same."""

    def size(self, digest: str) -> int | None:
        """How many bytes a blob has; None where there is none."""

    def open(self, digest: str) -> AbstractContextManager[BinaryIO]:
        """Open a blob that is there."""


class LayoutPlace:
    """A layout that is read as any place is; see `mmdet_jetson.registry.place.Place`.

    A manifest is known by the index, or by another manifest that is.
    """

    def __init__(self, name: str, files: Files) -> None:
        self.name = name
        self._files = files
        self._guard = threading.RLock()
        self._manifests: dict[str, Manifest] = {}
        self._listed: Index | None = None
        self._tags: dict[str, Descriptor] = {}
        self._digests: dict[str, Descriptor] = {}
        self._seen: Index | None = None
        self._known: dict[str, Descriptor] = {}
        self._referrers: dict[str, list[Descriptor]] = {}

    @property
    def checks_manifests(self) -> bool:
        """Files are looked for as fast as they are asked for."""
        return False

    def resolve(self, reference: str) -> Descriptor | None:
        """Give the manifest of a tag or a whole digest."""
        with self._guard:
            tags, digests = self._entries()
            if not reference.startswith("sha256:"):
                named = tags.get(reference)
                return plain(named) if named else None
            # What the index names needs no look at all of its manifests.
            if (entry := digests.get(reference)) and entry.artifact_type:
                return plain(entry)
            return self._look().get(reference)

    def manifest(self, reference: str) -> Content | None:
        """Give a manifest by a tag or a whole digest, having checked it."""
        found = self.resolve(reference)
        return Content(found, self._read(found)) if found else None

    def tags(self) -> list[str]:
        """Every tag of the index; others write there what is none, such as a whole address."""
        tags = [entry.tag for entry in self._index().manifests if entry.tag]
        return [tag for tag in tags if is_tag(tag)]

    def referrers(self, digest: str) -> list[Descriptor]:
        """Give manifests whose subject has this digest."""
        with self._guard:
            self._look()
            return list(self._referrers.get(digest, ()))

    def starting_with(self, digest: str) -> list[Descriptor]:
        """Give the manifests whose digest starts like this."""
        with self._guard:
            return [each for known, each in self._look().items() if known.startswith(digest)]

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is there, in its size."""
        return self._files.size(blob.digest) == blob.size

    @contextmanager
    def read(self, blob: Descriptor, start: int = 0) -> Iterator[Iterator[bytes]]:
        """Give the bytes of a blob from ``start`` on."""
        if self._files.size(blob.digest) is None:
            raise PlaceError(f"{self.name} lacks blob {blob.digest[:19]}", "copy it there again")
        with self._files.open(blob.digest) as stream:
            stream.seek(start)
            yield iter(lambda: stream.read(BLOCK), b"")

    def write(self, blob: Descriptor, source: Path, on_bytes: OnBytes) -> None:
        """Refuse, unless it was opened to be written."""
        raise PlaceError(f"{self.name} is only read here")

    def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
        """Refuse, unless it was opened to be written."""
        raise PlaceError(f"{self.name} is only read here")

    def _index(self) -> Index:
        try:
            return self._files.index()
        except UserError as error:
            raise PlaceError(f"{self.name} cannot be read: {error.message}") from error

    def _entries(self) -> tuple[dict[str, Descriptor], dict[str, Descriptor]]:
        """The manifests that the index lists, by tag and by digest; the first counts."""
        index = self._index()
        if index is not self._listed:
            entries = index.manifests[::-1]
            self._tags = {entry.tag: entry for entry in entries if entry.tag}
            self._digests = {entry.digest: entry for entry in entries if entry.is_manifest}
            self._listed = index
        return self._tags, self._digests

    def _look(self) -> dict[str, Descriptor]:
        """Every manifest by its digest; those that cannot be read lead to no others."""
        index = self._index()
        if index is self._seen:
            return self._known
        known: dict[str, Descriptor] = {}
        referrers: dict[str, list[Descriptor]] = {}
        todo = list(index.manifests)
        while todo:
            found = todo.pop()
            if found.digest in known or not found.is_manifest:
                continue
            manifest = self._parsed(found)
            known[found.digest] = plain(found, manifest.artifact_type)
            todo += [each for each in manifest.references() if each.is_manifest]
            if manifest.subject:
                referrers.setdefault(manifest.subject.digest, []).append(known[found.digest])
        self._seen, self._known, self._referrers = index, known, referrers
        return known

    def _parsed(self, found: Descriptor) -> Manifest:
        if found.digest not in self._manifests:
            try:
                parsed = msgspec.json.decode(self._read(found), type=Manifest)
            except (PlaceError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return Manifest(schema_version=2)  # whoever needs it is told
            self._manifests[found.digest] = Manifest(
                schema_version=2,
                artifact_type=parsed.artifact_type,
                manifests=[each for each in parsed.references() if each.is_manifest],
                subject=parsed.subject,
            )
        return self._manifests[found.digest]

    def _read(self, found: Descriptor) -> bytes:
        what = f"manifest {found.digest[:19]} of {self.name}"
        if found.size > MANIFEST_BYTES:
            raise PlaceError(f"{what} is larger than the 4 MB that a manifest may have")
        if not self.has(found):
            raise PlaceError(f"{what} is missing, or not {found.size} bytes long")
        with self._files.open(found.digest) as stream:
            content = stream.read(found.size)
        if digest_of(content) != found.digest:
            raise PlaceError(f"{what} does not match its digest")
        return content


def plain(entry: Descriptor, artifact_type: str | None = None) -> Descriptor:
    """Give a pointer to a manifest without what an index says of it."""
    return Descriptor(
        media_type=entry.media_type,
        digest=entry.digest,
        size=entry.size,
        artifact_type=entry.artifact_type or artifact_type,
    )
