"""What a transfer moves: manifests from some roots on, whatever they need, what refers to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from mmdet_jetson.registry.place import Content, Place, PlaceError
from mmdet_jetson.registry.workers import Workers
from mmdet_jetson.store.oci import INDEX, MANIFEST, Descriptor, Manifest, digest_of

DEPTH = 12
"""Steps from a root to any manifest, there and back to a subject; ours have up to five."""
MANIFESTS = 5_000
TOGETHER_BYTES = 24 << 20
"""All manifests of one transfer are in memory; an artifact of 2,000 files has 0.6 MB of it."""
BLOBS = 200_000
OURS = (MANIFEST, INDEX)
HINT = "nothing was stored; ask whoever put it there"


@dataclass(frozen=True)
class Node:
    """A manifest as the bytes that it is, and what it says."""

    descriptor: Descriptor
    content: bytes
    manifest: Manifest

    @property
    def needs(self) -> list[Descriptor]:
        """The manifests that this one needs."""
        return [each for each in self.manifest.references() if each.is_manifest]

    @property
    def blobs(self) -> list[Descriptor]:
        """The blobs that this one needs and that are no manifests."""
        return [each for each in self.manifest.references() if not each.is_manifest]


@dataclass
class Graph:
    """Manifests and the blobs that they need."""

    nodes: dict[str, Node] = field(default_factory=dict)
    blobs: dict[str, Descriptor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all blobs, and of all manifests."""
        manifests = sum(len(node.content) for node in self.nodes.values())
        return manifests + sum(blob.size for blob in self.blobs.values())

    def levels(self) -> list[list[Node]]:
        """Manifests by how many others they stand on: each needs only such that come before."""
        height: dict[str, int] = {}
        todo = list(self.nodes.values())
        while todo:
            node = todo[-1]
            waiting = [self.nodes[each.digest] for each in node.needs if each.digest not in height]
            if waiting:
                todo += waiting
                continue
            todo.pop()
            below = [height[each.digest] for each in node.needs]
            height[node.descriptor.digest] = 1 + max(below, default=-1)
        levels: list[list[Node]] = [[] for _ in range(1 + max(height.values(), default=-1))]
        for digest, level in height.items():
            levels[level].append(self.nodes[digest])
        return levels

    def children(self) -> set[str]:
        """The manifests that an index holds."""
        return {each.digest for node in self.nodes.values() for each in node.manifest.manifests}


def walk(place: Place, roots: Iterable[Descriptor], workers: Workers, *, evidence: bool) -> Graph:
    """Read every manifest from the roots on; with ``evidence`` also those that refer to them.

    Raises:
        PlaceError: one is missing, or not as the specification says, or there is no end of them.
    """
    graph, todo = Graph(), list(roots)
    for _ in range(DEPTH + 1):  # once more than that finds nothing new, or too much
        new = {each.digest: each for each in todo if each.digest not in graph.nodes}
        if not new:
            _check_kinds(graph, place)
            return graph
        todo = []
        for node in workers.map(lambda each: read_node(place, each), new.values()):
            graph.nodes[node.descriptor.digest] = node
            _add_blobs(graph, node, place)
            todo += node.needs
        _check_size(graph, place)
        if evidence:
            todo += _referrers(place, [each for each in new if each in graph.nodes], workers)
    raise PlaceError(f"a manifest in {place.name} leads on and on to others", HINT)


def _referrers(place: Place, digests: Sequence[str], workers: Workers) -> list[Descriptor]:
    """Give what refers to manifests and is there; a registry's list of it may be out of date."""

    def ask(digest: str) -> list[Descriptor]:
        listed = [each for each in place.referrers(digest) if each.media_type in OURS]
        return [each for each in listed if place.resolve(each.digest)]

    return [each for found in workers.map(ask, digests) for each in found]


def read_node(place: Place, wanted: Descriptor) -> Node:
    """Read one manifest and check it.

    Raises:
        PlaceError: it is missing, or not as the specification says.
    """
    found = place.manifest(wanted.digest)
    what = f"manifest {wanted.digest[:19]} of {place.name}"
    if found is None:
        raise PlaceError(f"{what} is missing", "push it there again")
    if wanted.size != len(found.content):
        raise PlaceError(f"{what} is not {wanted.size} bytes long, as is said of it", HINT)
    if digest_of(found.content) != wanted.digest:  # so none can need itself
        raise PlaceError(f"{what} does not match its digest", HINT)
    try:
        manifest = msgspec.json.decode(found.content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PlaceError(f"{what} is not a manifest: {error}", HINT) from error
    return Node(_checked(found, manifest, what), found.content, manifest)


def _checked(found: Content, manifest: Manifest, what: str) -> Descriptor:
    """Give the pointer to a manifest, as far as the manifest itself bears it out."""
    media_type = manifest.media_type or found.descriptor.media_type
    if media_type not in OURS or media_type != found.descriptor.media_type:
        raise PlaceError(f"{what} is {media_type[:80]!r}, which is no artifact of ours", HINT)
    if bool(manifest.config) == (media_type == INDEX):
        raise PlaceError(f"{what} says that it is {media_type}, and has not what that has", HINT)
    for each in manifest.references():
        if each.urls:
            raise PlaceError(f"{what} names a file outside: {each.urls[0][:80]!r}", HINT)
        if each.size < 0:
            raise PlaceError(f"{what} names a blob of {each.size} bytes", HINT)
    return Descriptor(
        media_type=media_type,
        digest=found.descriptor.digest,
        size=len(found.content),
        artifact_type=manifest.artifact_type,
    )


def _add_blobs(graph: Graph, node: Node, place: Place) -> None:
    for blob in node.blobs:
        known = graph.blobs.setdefault(blob.digest, blob)
        if known.size != blob.size:
            raise PlaceError(f"blob {blob.digest[:19]} of {place.name} has two sizes", HINT)


def _check_size(graph: Graph, place: Place) -> None:
    size = sum(len(node.content) for node in graph.nodes.values())
    if len(graph.nodes) > MANIFESTS or size > TOGETHER_BYTES or len(graph.blobs) > BLOBS:
        raise PlaceError(
            f"what is asked for of {place.name} has over {MANIFESTS:,} manifests, "
            f"{TOGETHER_BYTES >> 20} MB of them or {BLOBS:,} blobs",
            "name less of it",
        )


def _check_kinds(graph: Graph, place: Place) -> None:
    for digest, blob in graph.blobs.items():
        if digest in graph.nodes:
            raise PlaceError(f"{blob.digest[:19]} of {place.name} is a manifest and a blob", HINT)
