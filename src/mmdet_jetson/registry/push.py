"""From the store to a place: blobs, then the manifests that need them, then the names.

Every manifest gets a tag that stays, since a registry may delete those that have none: the key that
it is looked up by, unless that names another result of the same step there, or else its digest.
What a bundle holds has both, so no later result can take its tag away.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.failures import Dropped
from mmdet_jetson.registry.folder import Folder, open_folder
from mmdet_jetson.registry.graph import Graph, Node, walk
from mmdet_jetson.registry.moving import (
    Moved,
    Quiet,
    Tally,
    Watch,
    artifact_of,
    check_ours,
    config_of,
    is_artifact,
    report,
)
from mmdet_jetson.registry.names import Root, asked_for, digest_tag, is_release
from mmdet_jetson.registry.place import Content, Place, PlaceError
from mmdet_jetson.registry.workers import Workers
from mmdet_jetson.store import Descriptor, Store, cache_tag

HERE = "the store"
MANY = 16
"""With at least this many blobs a name, one look at the name's present manifest saves requests."""
BLOB_UNKNOWN = "BLOB_UNKNOWN"
"""In what a registry answers to a manifest of which it lacks a blob."""


def push(
    store: Store,
    names: Sequence[str],
    place: Place,
    *,
    evidence: bool = True,
    watch: Watch | None = None,
    tag: str = "",
) -> Moved:
    """Bring artifacts of the store to a place, with all they need.

    Args:
        store: where they are.
        names: tags, names of runs or digests.
        place: where they go.
        evidence: whether what refers to them goes along, and what refers to that.
        watch: told how far it is.
        tag: the tag that the one artifact gets there, instead of its own; it may move there.

    Raises:
        UserError: nothing has such a name, or it is damaged.
        PlaceError: the place refuses it or cannot be reached, a rerun sends only the rest; or a
            release's name is another one's there, and nothing is sent.
    """
    with open_folder(HERE, store.root, writing=False) as source:
        asked = _renamed(asked_for(source, names), tag)
        moves = bool(tag)
        transfer = _Push(source, place, Workers(), watch or Quiet())
        try:
            return transfer.run(asked, evidence=evidence, moves=moves)
        except PlaceError as error:
            if not (transfer.has_trusted and BLOB_UNKNOWN in error.message):
                raise
        # It has lost some of what it told of.
        anew = _Push(source, place, Workers(), watch or Quiet(), trusts=False)
        return anew.run(asked, evidence=evidence, moves=moves)


def _renamed(wanted: list[Root], tag: str) -> list[Root]:
    if not tag:
        return wanted
    if len(wanted) > 1:
        raise UserError(
            f"{len(wanted)} artifacts cannot all be tagged {tag!r}",
            "leave the tag out of the place: each goes by its own; or push one, or a bundle",
        )
    return [(tag, wanted[0][1])]


class _Push:
    def __init__(
        self,
        source: Folder,
        place: Place,
        workers: Workers,
        watch: Watch,
        *,
        trusts: bool = True,
    ) -> None:
        self._trusts = trusts and place.checks_manifests
        self.has_trusted = False
        """Whether blobs were not asked for, as the place told of a manifest that needs them."""
        self._source = source
        self._place = place
        self._workers = workers
        self._tally = Tally(watch, workers)

    def run(self, asked: list[Root], *, evidence: bool, moves: bool) -> Moved:
        """Bring everything there, the names last; with ``moves`` a release's name may move."""
        graph = walk(self._source, [root for _, root in asked], self._workers, evidence=evidence)
        check_ours(graph, self._source)
        self._check_whole(graph)
        if not moves:
            self._check_releases(graph, asked)
        keys = {node.descriptor.digest: self._key(node) for node in graph.nodes.values()}
        self._send_blobs(graph, self._known(graph, asked))
        children, levels = graph.children(), graph.levels()
        for level in levels:
            self._workers.map(partial(self._put, keys, children), level)
        # Level by level, too: docker-registry 2.8.2 now and then refuses an index while a manifest
        # of it is put again, under its name (3 of 60 pushes of a whole run).
        for level in levels:
            there = {node.descriptor.digest for node in level}
            named = [root for root in asked if root[0] and root[1].digest in there]
            self._workers.map(partial(self._name, graph), named)
        return report(graph, asked, self._tally)

    def _check_whole(self, graph: Graph) -> None:
        for blob in graph.blobs.values():
            if not self._source.has(blob):
                raise UserError(
                    f"blob {blob.digest[:19]} is missing from the store",
                    "`invoke verify --mend`, and run again what made it",
                )

    def _check_releases(self, graph: Graph, asked: Sequence[Root]) -> None:
        """Refuse to give the name of a release to another one, which nobody would notice."""
        for tag, root in asked:
            is_bundle = not is_artifact(graph.nodes[root.digest])
            there = self._place.resolve(tag) if is_bundle and is_release(tag) else None
            if there and there.digest != root.digest:
                raise PlaceError(
                    f"{tag} in {self._place.name} is bundle {there.digest[7:19]}, and here it is "
                    f"{root.digest[7:19]}",
                    "give it another name, by `invoke bundle --name`; "
                    f"--to {self._place.name}:{tag} moves the name there",
                )

    def _key(self, node: Node) -> str:
        if not is_artifact(node):
            return ""
        config = config_of(node, self._source)
        with self._source.read(config) as blocks:
            content = b"".join(blocks)
        return artifact_of(node, content, self._source).provenance.key

    def _known(self, graph: Graph, asked: Sequence[Root]) -> Collection[str]:
        """The blobs of the manifests that the names point to there now.

        A dataset of 20,000 pictures has 250, and the one before has nearly all of them. The
        registry looks for them itself when it is sent a manifest. So what is of a manifest that it
        has is asked for all the same: that one is not sent again.
        """
        names = [tag for tag, _ in asked if tag]
        if not self._trusts or len(graph.blobs) < MANY * len(asked):
            return ()
        try:
            there = [found for found in map(self._place.resolve, names) if found]
            known = set(walk(self._place, there, Workers(), evidence=False).blobs)
        except Dropped:
            raise
        except PlaceError:  # whatever it is, it is about to be another
            return ()
        for digest, node in graph.nodes.items():
            if self._place.resolve(digest):
                known -= {blob.digest for blob in node.blobs}
        self.has_trusted = bool(known)
        return known

    def _send_blobs(self, graph: Graph, known: Collection[str]) -> None:
        blobs = [blob for digest, blob in graph.blobs.items() if digest not in known]
        there = self._workers.map(self._place.has, blobs)
        lacking = [blob for blob, is_there in zip(blobs, there, strict=True) if not is_there]
        self._tally.plan(lacking)
        # The largest first: they end last.
        self._workers.map(self._send, sorted(lacking, key=lambda blob: -blob.size))

    def _send(self, blob: Descriptor) -> None:
        with self._tally.of(blob) as on_bytes:
            self._place.write(blob, self._source.path(blob), on_bytes)

    def _put(self, keys: Mapping[str, str], children: set[str], node: Node) -> None:
        """Add a manifest under the tags that keep it, unless it is there under them."""
        digest, key = node.descriptor.digest, keys[node.descriptor.digest]
        tags = []
        if key:
            found = self._place.resolve(cache_tag(key))
            if found is None:
                tags.append(cache_tag(key))
            elif found.digest != digest:
                key = ""
        keeping = digest_tag(digest)
        if (not key or digest in children) and not self._names(keeping, digest):
            tags.append(keeping)
        if tags or not self._is_listed(node):
            kept = cache_tag(key) if key else keeping
            content = Content(node.descriptor, node.content)
            self._place.put_manifest(content, tags or [kept])
            # No registry compares before it writes: another push may have got the key just now.
            if key and keeping not in tags and not self._names(cache_tag(key), digest):
                self._place.put_manifest(content, [keeping])

    def _is_listed(self, node: Node) -> bool:
        """Whether what a manifest refers to knows of it there: a push may have ended before."""
        subject, digest = node.manifest.subject, node.descriptor.digest
        return not subject or any(
            each.digest == digest for each in self._place.referrers(subject.digest)
        )

    def _name(self, graph: Graph, root: Root) -> None:
        tag, wanted = root
        node = graph.nodes[wanted.digest]
        if not self._names(tag, wanted.digest):
            self._place.put_manifest(Content(node.descriptor, node.content), [tag])

    def _names(self, tag: str, digest: str) -> bool:
        found = self._place.resolve(tag)
        return found is not None and found.digest == digest
