"""What nothing needs any more, and its removal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
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
    todo = [entry]
    while todo:
        blob = todo.pop()
        if blob.digest in found:
            continue
        found[blob.digest] = blob
        if blob.is_manifest:
            todo += _references(layout, blob)
    return found


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
    needs = {entry.digest: reachable(layout, entry) for entry in entries}
    whole = {digest for digest, blobs in needs.items() if is_whole(layout, blobs.values())}
    named = [e for e in entries if e.tag and e.digest in whole and keep(e.tag)]
    needed = {digest for entry in named for digest in needs[entry.digest]}
    unnamed = [e for e in entries if not e.tag and e.digest in whole]
    kept: set[str] = set()
    while joining := [e for e in unnamed if e.digest not in kept and _subject(layout, e) in needed]:
        kept |= {entry.digest for entry in joining}
        needed |= {digest for entry in joining for digest in needs[entry.digest]}
    after = [e for e in entries if e in named or (not e.tag and e.digest in needed)]
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


def _subject(layout: Layout, entry: Descriptor) -> str | None:
    subject = layout.manifest(entry).subject
    return subject.digest if subject else None
