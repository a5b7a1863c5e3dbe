"""Artifacts in and out of ``artifacts/``, the one door to everything that stages make.

``artifacts/`` is an OCI image layout, so ``skopeo inspect oci:artifacts:<tag>`` and
``skopeo copy`` work on it; other entries of that folder are never touched.

Files are copied in and out rather than hard-linked: a stage (or a user) that still has a linked
file open could change a blob behind its digest, and a job folder may lie on another disk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors
from mmdet_jetson.store import bundles, garbage, mending, oci, verification
from mmdet_jetson.store.artifact import Artifact, Layer, Provenance
from mmdet_jetson.store.bundles import Bundle
from mmdet_jetson.store.garbage import Freed
from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.lookup import Lookup
from mmdet_jetson.store.manifests import (
    artifact_type,
    encode_config,
    encode_manifest,
    read_artifact,
)
from mmdet_jetson.store.naming import check_tags, naming
from mmdet_jetson.store.oci import Descriptor
from mmdet_jetson.store.reading import Reader, name_of
from mmdet_jetson.store.shard_lists import ShardLists
from mmdet_jetson.store.staged import NONE, Tree, pointer, stage_all, stage_bytes
from mmdet_jetson.store.verification import OnBytesRead, Verification


class Store:
    """The artifacts under one folder, which is made on the first write.

    One object serves any number of threads, as it serves any number of processes beside it: every
    lock is of a file that is opened for it, so threads keep each other out as processes do. What is
    kept in memory is either immutable and replaced as a whole, or an entry of a dictionary whose
    key is a digest, so that two threads can at worst read the same manifest twice.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._layout = Layout(root)
        self._known: dict[str, Artifact] = {}
        self._lookup = Lookup(self._layout)
        self._reader = Reader(self._layout)

    def put(
        self,
        kind: str,
        folder: Path,
        provenance: Provenance,
        tags: Sequence[str],
        subject: Descriptor | None = None,
        *,
        taken: Tree = NONE,
    ) -> Artifact:
        """Store the files and directories of ``folder`` as one artifact, or nothing at all.

        Each top-level file becomes a layer, each top-level directory one too, or several if it is
        large: of these, what the store has already is neither written nor, where its digest is
        told, read again. A tag that names another artifact moves to this one. Without tags the
        artifact lives as long as its ``subject``, the artifact that it judges.

        ``taken`` are files of its directories that lie elsewhere, by their paths in the artifact.
        They are read, and never linked or moved.

        Raises:
            UserError: the disk is full or cannot be written, or a file changed while it was read;
                the store is as before.
            ValueError: ``folder`` holds a link or another special file.
        """
        check_tags(tags)
        artifact_type(kind)
        with disk_errors(self.root), self._layout.staging() as staging:
            layers = stage_all(folder, taken, staging, self._layout, ShardLists(self._layout))
            media_type = artifact_type(kind, layers)
            config = pointer(
                stage_bytes(staging, encode_config(provenance, layers)), oci.IMAGE_CONFIG
            )
            content = encode_manifest(kind, config, layers, subject)
            manifest = pointer(
                stage_bytes(staging, content), oci.MANIFEST, artifact_type=media_type
            )
            self._layout.commit(staging, naming(manifest, tags))
        return Artifact(kind, manifest, tuple(layers), provenance, subject)

    def exists(self) -> bool:
        """Whether the folder holds a store, be it empty."""
        return self._layout.exists()

    def create(self) -> None:
        """Make an empty store where there is none.

        Raises:
            UserError: there can be none.
        """
        with disk_errors(self.root):
            self._layout.create()

    def find(self, name: str) -> Artifact | None:
        """The artifact of a tag or digest; ``None`` if it is unknown, or if ``damage`` tells why.

        A digest may be cut to its first 12 hex digits, as lines show it. Layers are looked up,
        not read: ``checkout`` reads and checks them.

        Raises:
            UserError: the artifact was written by a newer version, or the index is unreadable.
        """
        entry = self._lookup.entry(name)
        return self._load(entry) if entry else None

    def damage(self, name: str) -> str:
        """What keeps ``find`` from returning an artifact that is known; "" if nothing does."""
        entry = self._lookup.entry(name)
        if entry is None or self._load(entry):
            return ""
        flaw = garbage.flaw(self._layout, garbage.reachable(self._layout, entry).values())
        return flaw or ("" if self._lookup.bundle(entry) else "its manifest describes no artifact")

    def tags(self) -> Mapping[str, Descriptor]:
        """Every tag with the manifest it names."""
        return self._layout.listing().by_tag

    def artifacts(self) -> list[Artifact]:
        """Every artifact that is whole: tagged or not, in the index or in a bundle of it."""
        entries = self._lookup.entries().values()
        return [found for found in map(self._load, entries) if found]

    def put_bundle(
        self, parts: Sequence[Descriptor], annotations: Mapping[str, str], tags: Sequence[str] = ()
    ) -> Bundle:
        """Bind artifacts of this store into one index, under tags that move to it.

        Raises:
            UserError: a part is not here in full, or the disk is full or cannot be written.
        """
        check_tags(tags)
        with disk_errors(self.root), self._layout.staging() as staging:
            for part in parts:
                needed = garbage.reachable(self._layout, part).values()
                if flaw := garbage.flaw(self._layout, needed):
                    raise UserError(f"{part.digest[:19]} cannot be bundled: {flaw}", "run again")
            said = bundles.annotated(annotations)
            blob = stage_bytes(staging, bundles.encode(parts, said))
            index = bundles.pointer(blob.digest, blob.size)
            self._layout.commit(staging, naming(index, tags))
        return Bundle(index, tuple(parts), said)

    def bundle(self, name: str) -> Bundle | None:
        """The bundle of a tag or digest, be its parts whole or not; None if there is none.

        Raises:
            UserError: it was written by a newer version, or the index is unreadable.
        """
        entry = self._lookup.entry(name)
        return self._lookup.bundle(entry) if entry else None

    def bundles(self) -> list[Bundle]:
        """Every bundle, in the order of the index."""
        return self._lookup.bundles()

    def part(self, descriptor: Descriptor) -> Artifact | None:
        """The artifact that a bundle points to; None where it is none, or is not here in full."""
        return self._load(descriptor)

    def tag(self, artifact: Artifact | Bundle, *tags: str) -> None:
        """Name an artifact or a bundle; a tag that names another one moves.

        Raises:
            UserError: the artifact is no longer in the store.
        """
        check_tags(tags)
        with disk_errors(self.root), self._layout.staging() as staging:
            if not self._layout.has(artifact.descriptor):
                raise UserError(f"{name_of(artifact)} is no longer in {self.root}", "run again")
            self._layout.commit(staging, naming(artifact.descriptor, tags))

    def untag(self, *tags: str) -> None:
        """Remove names; what they named stays until ``gc``."""
        with disk_errors(self.root), self._layout.staging() as staging:
            self._layout.commit(staging, lambda all_: [e for e in all_ if e.tag not in tags])

    def checkout(
        self,
        artifact: Artifact,
        folder: Path,
        parts: Sequence[str] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        """Create ``folder`` with an artifact's files, or with some of its top-level entries.

        With ``shared``, a large directory is a link to a checkout that all jobs share
        (`store.checkouts`); for who only reads.

        Every blob is read once: copied and checked in one go. Files are read-only. The folder
        appears when it is complete; what a killed checkout into it left is removed first. It is
        not synced to disk, since it can be checked out again.

        Raises:
            UserError: a file is missing or damaged, or the disk is full.
            FileExistsError: ``folder`` exists.
            KeyError: the artifact has no such part.
        """
        self._reader.checkout(artifact, folder, parts, shared=shared)

    def file_of(self, layer: Layer) -> Path:
        """Where a layer's blob lies, for who reads it without changing it; it may be compressed."""
        return self._layout.path(layer.blob.digest)

    def read(self, artifact: Artifact, title: str) -> bytes:
        """Read one top-level file of an artifact, checked; for files that fit into memory.

        Raises:
            UserError: the file is missing from the store, or damaged.
            KeyError: the artifact has no such file.
        """
        return self._reader.read(artifact, title)

    def verify(
        self,
        on_bytes: OnBytesRead = lambda _done, _total: None,
        *,
        mend: bool = False,
    ) -> Verification:
        """Read every blob that anything points to, and check all of it.

        ``on_bytes`` is told the bytes read and the bytes there are. ``mend`` removes what is
        damaged, so that the next run makes it again, and sets aside an index that cannot be read.
        """
        if not (mend and self.exists()):
            return verification.verify(self._layout, on_bytes, mend=False)
        with disk_errors(self.root):
            return mending.mend(self._layout, on_bytes)

    def gc(self, keep: Callable[[str], bool], *, dry_run: bool = False) -> Freed:
        """Drop the tags that ``keep`` refuses and those of damaged artifacts, and free the rest.

        Checkouts that jobs share, and that none reads now, are part of that.

        Waits until nobody reads or writes. ``dry_run`` only says what would go.
        """
        with disk_errors(self.root):
            freed = garbage.collect(self._layout, keep, dry_run=dry_run)
            checkouts, size = self._reader.checkouts(), 0
            if dry_run:
                size = sum(each.size for each in checkouts.unused())
            elif self._layout.exists():
                with self._layout.alone():  # else one goes whose files another takes just now
                    ShardLists(self._layout).forget()
                    size = checkouts.forget()
        return replace(freed, size=freed.size + size)

    def _load(self, entry: Descriptor) -> Artifact | None:
        found = self._known.get(entry.digest) or self._parse(entry)
        if not found or not all(self._layout.has(layer.blob) for layer in found.layers):
            return None
        self._known[entry.digest] = found
        return found

    def _parse(self, entry: Descriptor) -> Artifact | None:
        try:
            return read_artifact(self._layout, entry)
        except (Damaged, ValueError):
            return None  # ``verify`` says what is wrong; a run makes it again
