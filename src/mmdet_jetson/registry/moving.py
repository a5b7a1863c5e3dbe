"""What pushing and pulling have in common: what they tell of themselves, and what they refuse."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from mmdet_jetson.registry.graph import HINT, Graph, Node
from mmdet_jetson.registry.names import Root
from mmdet_jetson.registry.place import MANIFEST_BYTES, Place, PlaceError
from mmdet_jetson.registry.workers import Workers
from mmdet_jetson.store.artifact import Artifact, Provenance, age_in_days, cache_tag
from mmdet_jetson.store.manifests import decode_artifact, kind_of
from mmdet_jetson.store.naming import is_tag
from mmdet_jetson.store.oci import Descriptor


class Watch(Protocol):
    """Told how far a transfer is, by several threads."""

    def planned(self, blobs: int, size: int) -> None:
        """So many blobs with so many bytes have to go over; others are there already."""

    def begun(self, blob: Descriptor, there: int) -> None:
        """A blob begins, of which an earlier transfer has brought some bytes."""

    def moved(self, blob: Descriptor, size: int) -> None:
        """So many more bytes of it have gone over."""

    def ended(self, blob: Descriptor) -> None:
        """All of it is there."""


class Quiet:
    """Tells nobody."""

    def planned(self, blobs: int, size: int) -> None:
        """Nothing to tell."""

    def begun(self, blob: Descriptor, there: int) -> None:
        """Nothing to tell."""

    def moved(self, blob: Descriptor, size: int) -> None:
        """Nothing to tell."""

    def ended(self, blob: Descriptor) -> None:
        """Nothing to tell."""


@dataclass(frozen=True)
class Named:
    """An artifact that was asked for: its tag, or "", its digest and its kind.

    ``before`` is the digest of another one that had the tag where it went, or "".
    """

    tag: str
    digest: str
    kind: str
    before: str = ""


@dataclass(frozen=True)
class Moved:
    """What a transfer was about, and how much of it was not there before. Sizes are in bytes."""

    named: tuple[Named, ...]
    manifests: int
    blobs: int
    size: int
    blobs_sent: int
    sent: int


class Tally:
    """Counts what goes over, tells a watcher, and ends what is under way when all shall end."""

    def __init__(self, watch: Watch, workers: Workers) -> None:
        self.blobs = self.size = 0
        self._watch = watch
        self._workers = workers
        self._guard = threading.Lock()

    def plan(self, lacking: Sequence[Descriptor]) -> None:
        """Say what has to go over."""
        self._watch.planned(len(lacking), sum(blob.size for blob in lacking))

    @contextmanager
    def of(self, blob: Descriptor, there: int = 0) -> Iterator[Callable[[int], None]]:
        """Give what is told of the bytes of a blob, of which some are ``there`` from earlier."""

        def on_bytes(size: int) -> None:
            self._workers.check()
            with self._guard:
                self.size += size
            self._watch.moved(blob, size)

        self._watch.begun(blob, there)
        yield on_bytes
        with self._guard:
            self.blobs += 1
        self._watch.ended(blob)


def report(graph: Graph, roots: Iterable[Root], tally: Tally) -> Moved:
    """Sum up a transfer."""
    named = tuple(
        Named(tag, root.digest, kind_of(graph.nodes[root.digest].manifest) or "")
        for tag, root in roots
    )
    whole = sum(blob.size for blob in graph.blobs.values())
    return Moved(named, len(graph.nodes), len(graph.blobs), whole, tally.blobs, tally.size)


def check_ours(graph: Graph, place: Place) -> None:
    """Refuse what is no artifact of ours; what refers to one may be anybody's, as a signature is.

    Raises:
        PlaceError: a manifest is something else, such as an image.
    """
    for node in graph.nodes.values():
        if not kind_of(node.manifest) and not node.manifest.subject:
            what = node.manifest.artifact_type or node.descriptor.media_type
            digest = node.descriptor.digest[:19]
            raise PlaceError(
                f"{digest} in {place.name} is no artifact of ours: {what[:80]!r}",
                "nothing was stored; an image, or what another tool has made, is for that tool",
            )


def is_artifact(node: Node) -> bool:
    """Whether a manifest is one of ours that has a provenance."""
    return bool(kind_of(node.manifest) and node.manifest.config)


def config_of(node: Node, place: Place) -> Descriptor:
    """Give the blob with an artifact's provenance; it has to fit into memory.

    Raises:
        PlaceError: it is too large.
    """
    config = node.manifest.config
    assert config
    if config.size > MANIFEST_BYTES:
        raise PlaceError(f"the provenance of {node.descriptor.digest[:19]} is too large", HINT)
    return config


def artifact_of(node: Node, config: bytes, place: Place) -> Artifact:
    """Give the artifact that a manifest and its config describe.

    This is the one door for what comes from elsewhere, so what the store makes names and ages of
    is checked here.

    Raises:
        PlaceError: they describe none.
    """
    try:
        artifact = decode_artifact(node.descriptor, node.manifest, config)
        _check_provenance(artifact.provenance)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        what = f"{node.descriptor.digest[:19]} in {place.name}"
        raise PlaceError(f"{what} does not describe an artifact: {error}", HINT) from error
    return artifact


def _check_provenance(made: Provenance) -> None:
    if made.key and not is_tag(cache_tag(made.key)):
        raise ValueError(f"its key is none: {made.key[:80]!r}")
    if age_in_days(made) is None:
        raise ValueError(f"it was made at {made.created[:80]!r}, which is no time")
