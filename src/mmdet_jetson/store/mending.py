"""Making a damaged layout sound again, with what is left of it."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from mmdet_jetson.errors import UserError
from mmdet_jetson.store import artifact as spelling
from mmdet_jetson.store import oci, verification
from mmdet_jetson.store.artifact import Artifact
from mmdet_jetson.store.garbage import is_whole, reachable
from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import Descriptor, Index
from mmdet_jetson.store.verification import Problem, Progress, Verification

# What a registry must accept as a manifest, by the OCI distribution specification.
_LARGEST_MANIFEST = 4 << 20


def mend(layout: Layout, progress: Progress) -> Verification:
    """Verify, remove what is damaged and forget what needed it: the next verification is clean.

    Raises:
        UserError: the index is lost, and a newer version wrote some of the artifacts.
    """
    restored = _restore(layout)
    found = verification.verify(layout, progress, mend=True)
    _forget_dead(layout)
    return replace(found, problems=(*restored, *found.problems))


def _restore(layout: Layout) -> list[Problem]:
    """Write marker and index anew where something is wrong with them; tell what was wrong."""
    with layout.alone():
        try:
            index, problems = layout.index(), verification.structure(layout)
        except UserError:
            index, problems = _rebuilt(layout)
        if problems:
            last = {entry.tag or entry.digest: entry for entry in index.manifests}
            layout.rewrite(msgspec.structs.replace(index, manifests=list(last.values())))
    return problems


def _rebuilt(layout: Layout) -> tuple[Index, list[Problem]]:
    """An index of all artifacts whose manifest is left, by their cache key: of two, the later."""
    found = sorted(_artifacts(layout), key=lambda artifact: artifact.provenance.created)
    keys = {artifact.provenance.key: artifact.descriptor for artifact in found}
    entries = [blob.tagged(spelling.cache_tag(key)) for key, blob in keys.items()]
    says = f"it could not be read, and was rebuilt from the {len(entries)} artifacts that are left"
    return (
        Index(schema_version=2, media_type=oci.INDEX, manifests=entries),
        [Problem("index.json", f"{says}; run names come back with the next run")],
    )


def _artifacts(layout: Layout) -> Iterator[Artifact]:
    for path in layout.blobs.iterdir():
        size = path.stat().st_size
        if size > _LARGEST_MANIFEST:
            continue
        blob = Descriptor(media_type=oci.MANIFEST, digest=f"sha256:{path.name}", size=size)
        try:
            artifact = spelling.read(layout, blob)
        except (Damaged, ValueError):
            continue
        if artifact:
            yield artifact


def _forget_dead(layout: Layout) -> None:
    with layout.alone():
        entries = layout.index().manifests
        alive = [entry for entry in entries if _is_alive(layout, entry)]
        if alive != entries:
            layout.replace_entries(alive)


def _is_alive(layout: Layout, entry: Descriptor) -> bool:
    if not is_whole(layout, reachable(layout, entry).values()):
        return False
    try:
        spelling.read(layout, entry)
    except ValueError:
        return False
    except UserError:
        return True  # a newer version wrote it, and reads it
    return True
