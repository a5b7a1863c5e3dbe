"""From a place to the store: everything is read and checked before the store names any of it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.graph import HINT, Graph, walk
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
from mmdet_jetson.registry.names import Root, asked_for, digest_tag, is_name, is_release
from mmdet_jetson.registry.place import Place, PlaceError
from mmdet_jetson.registry.workers import Workers
from mmdet_jetson.store import Artifact, Descriptor, Store, cache_tag, is_cache_tag
from mmdet_jetson.store.garbage import is_whole, reachable
from mmdet_jetson.store.intake import UNNAMED, Intake, taking_in
from mmdet_jetson.store.layers import Damaged
from mmdet_jetson.store.layout import Layout

ROOM = 64 << 20
"""Bytes that a disk should have left afterwards."""


def pull(
    place: Place,
    names: Sequence[str],
    store: Store,
    *,
    evidence: bool = True,
    watch: Watch | None = None,
) -> Moved:
    """Bring artifacts of a place into the store, with all they need.

    Args:
        place: where they are.
        names: tags, names of runs or digests.
        store: where they go; it has the tags that were asked for, and those that results are
            looked up by. What was asked for by its digest is tagged with that, so that it stays.
        evidence: whether what refers to them comes along, and what refers to that.
        watch: told how far it is.

    Raises:
        UserError: nothing has such a name there, or the disk has no room.
        PlaceError: the place cannot be reached, or what it has is wrong; the store is as before,
            and a rerun reads only the rest.
    """
    return bring(place, asked_for(place, names), store, evidence=evidence, watch=watch)


def bring(
    place: Place,
    asked: Sequence[Root],
    store: Store,
    *,
    evidence: bool = False,
    hold: bool = True,
    watch: Watch | None = None,
) -> Moved:
    """Bring what a place has told of into the store, as `pull` does.

    Without ``hold`` what has no tag of its own stays only as long as its key or its subject holds
    it.

    Raises:
        UserError: the disk has no room.
        PlaceError: it is not there any more, or as in `pull`.
    """
    workers = Workers()
    graph = walk(place, [root for _, root in asked], workers, evidence=evidence)
    check_ours(graph, place)
    layout = Layout(store.root)
    with taking_in(layout) as intake:
        return _Pull(place, layout, intake, workers, watch or Quiet()).run(graph, asked, hold=hold)


class _Pull:
    def __init__(
        self, place: Place, layout: Layout, intake: Intake, workers: Workers, watch: Watch
    ) -> None:
        self._place = place
        self._layout = layout
        self._intake = intake
        self._workers = workers
        self._tally = Tally(watch, workers)

    def run(self, graph: Graph, asked: Sequence[Root], *, hold: bool) -> Moved:
        """Take everything in, and name it in one go."""
        self._check_releases(graph, asked)
        lacking = [blob for blob in graph.blobs.values() if not self._intake.has(blob)]
        self._check_room(lacking)
        self._tally.plan(lacking)
        artifacts = self._artifacts(graph)
        tags = self._tags(graph, asked, artifacts, hold=hold)
        rest = [blob for blob in lacking if not self._intake.has(blob)]
        # The largest first: they end last.
        self._workers.map(self._receive, sorted(rest, key=lambda blob: -blob.size))
        for node in graph.nodes.values():
            self._intake.add(node.content, node.descriptor.media_type)
        named = [(node.descriptor, tags[digest]) for digest, node in graph.nodes.items()]
        before = self._moving(asked)
        self._intake.commit([*named, *self._nameless(before)], self._is_result)
        done = report(graph, asked, self._tally)
        moved = [replace(each, before=before.get(each.tag, "")) for each in done.named]
        return replace(done, named=tuple(moved))

    def _moving(self, asked: Sequence[Root]) -> dict[str, str]:
        """The names that shall name something else than now, and the digests that they name."""
        new = {tag: root.digest for tag, root in asked if tag and is_name(tag)}
        entries = self._layout.index().manifests
        named = {entry.tag: entry.digest for entry in entries if entry.tag}
        return {tag: named[tag] for tag in new if named.get(tag, new[tag]) != new[tag]}

    def _nameless(self, moving: Mapping[str, str]) -> list[tuple[Descriptor, list[str]]]:
        """What loses its only tag to what comes, as a bundle may: its digest is one then."""
        entries = self._layout.index().manifests
        held = {entry.digest for entry in entries if entry.tag and entry.tag not in moving}
        lost = [entry for entry in entries if entry.tag in moving and entry.digest not in held]
        return [(entry, [digest_tag(entry.digest)]) for entry in lost]

    def _check_releases(self, graph: Graph, asked: Sequence[Root]) -> None:
        """Refuse to let the name of a release here become another one's."""
        moving = self._moving(asked)
        for tag, root in asked:
            known = moving.get(tag)
            if known and is_release(tag) and not is_artifact(graph.nodes[root.digest]):
                raise PlaceError(
                    f"{tag} is {known[7:19]} here, and in {self._place.name} it is bundle "
                    f"{root.digest[7:19]}",
                    f"`invoke pull {root.digest}` brings it without that name",
                )

    def _check_room(self, lacking: Sequence[Descriptor]) -> None:
        """Refuse before hours of transfer what no disk can hold, or would fill it to the brim."""
        size = sum(blob.size - self._intake.arrived(blob) for blob in lacking)
        free = shutil.disk_usage(self._layout.root).free
        if size and size + ROOM > free:
            raise UserError(
                f"{size / 1e6:,.0f} MB have to come from {self._place.name}, and "
                f"{self._layout.root} has room for {free / 1e6:,.0f} MB",
                "free some space there (`invoke gc` frees some in the store), or pull less of it",
            )

    def _artifacts(self, graph: Graph) -> dict[str, Artifact]:
        """Read where everything comes from: it is checked before anything long begins."""
        ours = [node for node in graph.nodes.values() if is_artifact(node)]
        configs = {node.descriptor.digest: config_of(node, self._place) for node in ours}
        lacking = {each.digest: each for each in configs.values() if not self._intake.has(each)}
        self._workers.map(self._receive, lacking.values())
        artifacts = {}
        for node in ours:
            try:
                content = self._intake.read(configs[node.descriptor.digest])
            except Damaged as error:
                raise UserError(
                    f"the provenance of {node.descriptor.digest[:19]} in the store is damaged:"
                    f" {error}",
                    "`invoke verify --mend`, and run again",
                ) from error
            artifacts[node.descriptor.digest] = artifact_of(node, content, self._place)
        return artifacts

    def _receive(self, blob: Descriptor) -> None:
        try:
            with self._tally.of(blob, self._intake.arrived(blob)) as on_bytes:
                self._intake.receive(blob, partial(self._place.read, blob), on_bytes)
        except Damaged as error:
            what = f"blob {blob.digest[:19]} of {self._place.name}"
            raise PlaceError(f"{what} is not what was asked for: {error}", HINT) from error

    def _tags(
        self, graph: Graph, asked: Sequence[Root], artifacts: dict[str, Artifact], *, hold: bool
    ) -> dict[str, list[str]]:
        """The tags of each manifest: what was asked for, and the key it is looked up by."""
        tags: dict[str, list[str]] = {digest: [UNNAMED] for digest in graph.nodes}
        for tag, root in asked:
            if is_cache_tag(tag):
                self._check_key(tag, artifacts.get(root.digest))
            if tag or hold:
                tags[root.digest].append(tag or digest_tag(root.digest))
        keyed = [each for each in artifacts.values() if each.provenance.key]
        named = self._workers.map(
            lambda each: self._place.resolve(cache_tag(each.provenance.key)), keyed
        )
        for artifact, found in zip(keyed, named, strict=True):
            if found and found.digest == artifact.digest:
                tags[artifact.digest].append(cache_tag(artifact.provenance.key))
        return tags

    def _check_key(self, tag: str, artifact: Artifact | None) -> None:
        if artifact is None or cache_tag(artifact.provenance.key) != tag:
            raise PlaceError(f"{tag} in {self._place.name} names what has another key", HINT)

    def _is_result(self, entry: Descriptor) -> bool:
        """Whether an entry is a result that is looked up by its key, and whole: it stays then."""
        return is_cache_tag(entry.tag or "") and is_whole(
            self._layout, reachable(self._layout, entry).values()
        )
