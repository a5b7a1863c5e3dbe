"""Lay out in the files of Docker's registry what pushing a whole store would have left there."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from mmdet_jetson.registry.names import digest_tag
from mmdet_jetson.registry.place import Content
from mmdet_jetson.registry.referrers import entry_of
from mmdet_jetson.store import Descriptor, is_cache_tag
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import INDEX, Manifest, canonical_json, digest_of


class Files:
    """The folder of a registry (distribution 2.8, its driver for file systems)."""

    def __init__(self, data: Path, repository: str) -> None:
        self._blobs = data / "docker/registry/v2/blobs/sha256"
        self._here = data / "docker/registry/v2/repositories" / repository
        self.tags = self.blobs = 0

    def blob(self, digest: str, content: bytes) -> None:
        """Add a blob to the repository."""
        self._data(digest, content)
        self._link(self._here / "_layers/sha256" / digest[7:], digest)

    def manifest(self, digest: str, content: bytes, tags: list[str]) -> None:
        """Add a manifest under tags."""
        self._data(digest, content)
        self._link(self._here / "_manifests/revisions/sha256" / digest[7:], digest)
        for tag in tags:
            folder = self._here / "_manifests/tags" / tag
            self._link(folder / "current", digest)
            self._link(folder / "index/sha256" / digest[7:], digest)
            self.tags += 1

    def _data(self, digest: str, content: bytes) -> None:
        folder = self._blobs / digest[7:9] / digest[7:]
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "data").write_bytes(content)
            self.blobs += 1

    def _link(self, folder: Path, digest: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "link").write_text(digest)


def lay_out(store: Path, data: Path, repository: str) -> Files:
    """Put all of a store into a registry's folder, the lists of referrers included."""
    layout, files = Layout(store), Files(data, repository)
    tags: dict[str, list[str]] = {}
    entries: dict[str, Descriptor] = {}
    for entry in layout.index().manifests:
        entries[entry.digest] = entry
        tags.setdefault(entry.digest, []).append(entry.tag or digest_tag(entry.digest))
    listed: dict[str, list[Mapping[str, object]]] = {}
    for digest, entry in entries.items():
        content = layout.read(entry)
        manifest = msgspec.json.decode(content, type=Manifest)
        for blob in manifest.references():
            if not blob.is_manifest:
                files.blob(blob.digest, layout.read(blob))
        named = tags[digest]
        if entry.media_type == INDEX:
            # Whatever a bundle holds has the tag of its digest, too.
            for part in manifest.manifests:
                files.manifest(part.digest, layout.read(part), [digest_tag(part.digest)])
        if manifest.subject:
            about = manifest.subject.digest
            listed.setdefault(about, []).append(entry_of(Content(entry, content)))
            named = [*named, f"{about.replace(':', '-')}.{digest[7:31]}"]
        files.manifest(digest, content, named)
    for about, referrers in listed.items():
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers}
        content = canonical_json(index)
        files.manifest(digest_of(content), content, [about.replace(":", "-")])
    return files


def keys(store: Path) -> list[str]:
    """The tags of all keys of a store."""
    return [e.tag for e in Layout(store).index().manifests if e.tag and is_cache_tag(e.tag)]
