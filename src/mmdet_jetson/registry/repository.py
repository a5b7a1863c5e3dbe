"""One repository of a registry, as a place for artifacts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmdet_jetson.registry.answers import Answer
from mmdet_jetson.registry.downloads import Download
from mmdet_jetson.registry.lists import read_tags
from mmdet_jetson.registry.manifests import Manifests
from mmdet_jetson.registry.place import Content, OnBytes, PlaceError
from mmdet_jetson.registry.reference import RegistryReference
from mmdet_jetson.registry.referrers import Referrers
from mmdet_jetson.registry.session import Access, Request, Session
from mmdet_jetson.registry.uploads import Uploads
from mmdet_jetson.store.oci import Descriptor


class Repository:
    """A `Place` in a registry, by the OCI distribution specification 1.1."""

    def __init__(self, reference: RegistryReference, access: Access, notes: Path) -> None:
        """Say how to get there; nothing is sent before something is asked for.

        Args:
            reference: the repository; a tag or a digest in it means nothing here.
            access: whom to trust, and how long to wait.
            notes: a folder for what is known of unfinished uploads, made where it is missing.
        """
        self._session = Session(reference, access)
        self._repository = reference.repository
        self._manifests = Manifests(self._session, reference.repository)
        self._referrers = Referrers(self._session, reference.repository, self._manifests)
        self._uploads = Uploads(self._session, reference.repository, notes, self._has_now)

    @property
    def name(self) -> str:
        """What a user calls it."""
        return self._session.name

    @property
    def checks_manifests(self) -> bool:
        """Registries answer MANIFEST_BLOB_UNKNOWN, if not all of them."""
        return True

    def resolve(self, reference: str) -> Descriptor | None:
        """The manifest of a tag or a whole digest; None where there is none."""
        return self._manifests.resolve(reference)

    def manifest(self, reference: str) -> Content | None:
        """A manifest or an index by tag or digest; None where there is none."""
        return self._manifests.get(reference)

    def tags(self) -> list[str]:
        """Every tag of the repository; none where there is no such repository."""
        return read_tags(self._session, self._repository)

    def referrers(self, digest: str) -> list[Descriptor]:
        """Manifests whose subject has this digest."""
        return self._referrers.of(digest)

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob that is no manifest is there."""
        return self._session.retrying(lambda: self._has_now(blob))

    def _has_now(self, blob: Descriptor) -> bool:
        """The same in one attempt."""
        doing = f"looking for the blob {blob.digest[7:19]}"
        path = f"/v2/{self._repository}/blobs/{blob.digest}"
        answer = self._session.ask_once(Request(doing, "HEAD", path, hoped=frozenset({200, 404})))
        size = answer.headers.get("Content-Length", "")
        if answer.status == 200 and size.isdecimal() and int(size[:20]) != blob.size:
            raise PlaceError(
                f"{self.name}: {doing}: the registry has {int(size[:20]):,} bytes of that digest,"
                f" and it is the digest of {blob.size:,}"
            )
        return answer.status == 200

    @contextmanager
    def read(self, blob: Descriptor, start: int = 0) -> Iterator[Iterator[bytes]]:
        """The bytes of a blob from ``start`` on; a connection that drops is made again."""
        download = Download(self._session, self._repository, blob, start)
        blocks = download.blocks()
        try:
            yield blocks
        finally:
            download.close()
            blocks.close()

    def write(self, blob: Descriptor, source: Path, on_bytes: OnBytes) -> None:
        """Add a blob that `has` has not found; a large one goes on where it stopped before."""
        self._uploads.write(blob, source, on_bytes)

    def put_manifest(self, manifest: Content, tags: Sequence[str]) -> None:
        """Add a manifest under tags, or by its digest alone without any."""
        answer: Answer | None = None
        names = [*tags, *self._referrers.tags_for(manifest)] or [manifest.descriptor.digest]
        for name in dict.fromkeys(names):
            answer = self._manifests.put(manifest, name)
        if answer:
            self._referrers.announce(manifest, answer)
