"""What manifests of a layout need: each is read once, however many entries lead to it."""

from collections.abc import Iterable, Iterator

from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import Descriptor


class Node:
    """A manifest as far as its needs go: kept small, as all of a store's may be in memory."""

    __slots__ = ("blobs", "is_whole", "manifests", "subject")

    def __init__(self, layout: Layout, blob: Descriptor) -> None:
        self.manifests: tuple[Descriptor, ...] = ()
        self.blobs: tuple[str, ...] = ()
        self.subject = ""
        self.is_whole = False
        """Whether it can be read, and all that it needs but other manifests is there in full."""
        try:
            manifest = layout.manifest(blob)
        except Damaged:
            return  # what it would need is not known
        needs = manifest.references()
        plain = [each for each in needs if not each.is_manifest]
        self.manifests = tuple(each for each in needs if each.is_manifest)
        self.blobs = tuple(each.digest for each in plain)
        self.subject = manifest.subject.digest if manifest.subject else ""
        self.is_whole = layout.has(blob) and all(map(layout.has, plain))


class Needs:
    """What the entries of a layout need, for somebody who keeps it from changing meanwhile.

    ``digests`` are those of all blobs that were added so far with `add`.
    """

    def __init__(self, layout: Layout) -> None:
        self.digests: set[str] = set()
        self._layout = layout
        self._nodes: dict[tuple[str, int], Node] = {}
        self._added: set[str] = set()

    def subject(self, entry: Descriptor) -> str:
        """The digest of what a manifest refers to; "" where it refers to nothing."""
        return self._node(entry).subject

    def is_whole(self, entry: Descriptor) -> bool:
        """Whether an entry's blob is there in full, with all that it needs."""
        return all(
            self._node(blob).is_whole if blob.is_manifest else self._layout.has(blob)
            for blob in self._behind([entry], set())
        )

    def add(self, entries: Iterable[Descriptor]) -> set[str]:
        """Add what entries need, themselves included; give the digests that are new."""
        found: set[str] = set()
        for blob in self._behind(entries, self._added):
            found.add(blob.digest)
            if blob.is_manifest:
                found.update(self._node(blob).blobs)
        new = found - self.digests
        self.digests |= new
        return new

    def _node(self, blob: Descriptor) -> Node:
        # Two descriptors of a blob may differ in the size, and then one of them is wrong.
        found = self._nodes.get((blob.digest, blob.size))
        if found is None:
            found = self._nodes[blob.digest, blob.size] = Node(self._layout, blob)
        return found

    def _behind(self, entries: Iterable[Descriptor], seen: set[str]) -> Iterator[Descriptor]:
        """The entries and all manifests that they need, but for those that were seen."""
        todo = list(entries)
        while todo:
            blob = todo.pop()
            if blob.digest not in seen:
                seen.add(blob.digest)
                yield blob
                if blob.is_manifest:
                    todo += self._node(blob).manifests
