"""What nothing needs any more, and its removal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import compress

from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.needs import Needs
from mmdet_jetson.store.oci import Descriptor


@dataclass(frozen=True)
class Freed:
    """What a collection dropped.

    ``size`` is in bytes, leftovers of dead writers and of broken transfers included.
    """

    tags: tuple[str, ...]
    blobs: int
    size: int


def reachable(layout: Layout, entry: Descriptor) -> dict[str, Descriptor]:
    """Every blob that a manifest needs, by digest: its own, its parts', its subject's.

    What a damaged manifest would need is not known, and not in there.
    """
    found: dict[str, Descriptor] = {}
    add_reachable(layout, entry, found)
    return found


def add_reachable(layout: Layout, entry: Descriptor, found: dict[str, Descriptor]) -> list[str]:
    """Add to blobs that were ``found`` what a manifest needs besides; give the digests of that."""
    new: list[str] = []
    todo = [entry]
    while todo:
        blob = todo.pop()
        if blob.digest in found:
            continue
        found[blob.digest] = blob
        new.append(blob.digest)
        if blob.is_manifest:
            todo += _references(layout, blob)
    return new


def collect(layout: Layout, keep: Callable[[str], bool], *, dry_run: bool) -> Freed:
    """Drop tags, then every blob that no remaining entry needs.

    An entry stays when ``keep`` accepts its tag and all it needs is there; an unnamed one when
    what it refers to stays for another reason. So a subject lives as long as a named referrer,
    and an unnamed referrer goes with its subject.
    """
    if not layout.exists():
        return Freed((), 0, 0)
    with layout.alone():
        before = layout.index().manifests
        after, needed = _survivors(layout, before, keep)
        garbage = [path for path in layout.blobs.iterdir() if f"sha256:{path.name}" not in needed]
        partials = layout.partials()
        size = sum(path.stat().st_size for path in (*garbage, *partials))
        if not dry_run:
            size += layout.sweep()
            if after != before:
                layout.replace_entries(after)
            for path in (*garbage, *partials):
                path.unlink()
    dropped = {entry.tag for entry in before if entry.tag} - {entry.tag for entry in after}
    return Freed(tuple(sorted(tag for tag in dropped if tag)), len(garbage), size)


def _survivors(
    layout: Layout, entries: list[Descriptor], keep: Callable[[str], bool]
) -> tuple[list[Descriptor], set[str]]:
    needs = Needs(layout)
    whole = {entry.digest: needs.is_whole(entry) for entry in entries}
    is_kept = [bool(e.tag and whole[e.digest] and keep(e.tag)) for e in entries]
    about: dict[str, list[Descriptor]] = {}
    for entry in entries:
        if not entry.tag and whole[entry.digest] and (subject := needs.subject(entry)):
            about.setdefault(subject, []).append(entry)
    new = needs.add(compress(entries, is_kept))
    while new:
        new = needs.add([entry for digest in new for entry in about.pop(digest, ())])
    needed = needs.digests
    after = [
        entry
        for entry, stays in zip(entries, is_kept, strict=True)
        if stays or (not entry.tag and entry.digest in needed)
    ]
    return after, needed


def is_whole(layout: Layout, blobs: Iterable[Descriptor]) -> bool:
    """Whether all blobs are there in full size, and all manifests among them are readable."""
    return not flaw(layout, blobs)


def flaw(layout: Layout, blobs: Iterable[Descriptor]) -> str:
    """What the first blob that is not whole lacks, as a sentence; "" if all are."""
    for blob in blobs:
        name = f"blob {blob.digest[:19]}"
        if not layout.path(blob.digest).exists():
            return f"{name} is missing"
        if not layout.has(blob):
            return f"{name} is not {blob.size} bytes long"
        if not _is_readable(layout, blob):
            return f"{name} is not the manifest that it was"
    return ""


def _is_readable(layout: Layout, blob: Descriptor) -> bool:
    if not blob.is_manifest:
        return True
    try:
        layout.manifest(blob)
    except Damaged:
        return False
    return True


def _references(layout: Layout, blob: Descriptor) -> list[Descriptor]:
    try:
        return layout.manifest(blob).references()
    except Damaged:
        return []
