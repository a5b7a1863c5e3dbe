"""A registry as a store that several machines share: results are looked up there by their keys.

What it holds is only ever a saving: where it cannot be reached, or has something else under a key,
that is said, and the result is made here. What could not be pushed is an error at the end.
"""

from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Concatenate, ParamSpec, TypeVar

from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.graph import read_node
from mmdet_jetson.registry.moving import Quiet, Watch, artifact_of, config_of, is_artifact
from mmdet_jetson.registry.names import digest_tag
from mmdet_jetson.registry.place import Place, PlaceError
from mmdet_jetson.registry.pull import bring
from mmdet_jetson.registry.push import push
from mmdet_jetson.store import Artifact, Descriptor, Store, cache_tag, oci

P = ParamSpec("P")
T = TypeVar("T")
Say = Callable[[str], None]
Watching = Callable[[str], Watch]
"""Who is told how far a transfer is, given what it is."""
NOTHING = b"{}"
"""The specification's empty blob: it means nothing, so it may be written to see whether one may."""


class Lost(Exception):
    """What the registry told of cannot be had from it; it was said, and is known no more."""


def _in_turn(
    method: Callable[Concatenate["SharedStore", P], T],
) -> Callable[Concatenate["SharedStore", P], T]:
    """Let one thread in at a time: what is known, and the connection, are shared by all steps."""

    def alone(self: "SharedStore", /, *arguments: P.args, **options: P.kwargs) -> T:
        with self.guard:
            return method(self, *arguments, **options)

    return update_wrapper(alone, method)


class SharedStore:
    """The results in a place, as one command sees them. What it found once it does not ask again.

    An artifact that was looked up and not yet fetched is *thin*: its manifest and its provenance
    are known here, and its files are not.
    """

    def __init__(
        self, place: Place, store: Store, say: Say, watching: Watching = lambda _: Quiet()
    ) -> None:
        self.place = place
        self.guard = RLock()
        self._store = store
        self._say = say
        self._watching = watching
        self._found: dict[str, Artifact] = {}
        self._wrong: set[str] = set()
        self._made: dict[str, Artifact] = {}
        self._unpushed: list[tuple[Artifact, str, bool]] = []
        self._is_gone = False
        self._takes_none = False
        self._pushed = 0

    @property
    def is_gone(self) -> bool:
        """Whether it did not answer; that was said, and it is asked no more."""
        return self._is_gone

    @_in_turn
    def look(self, key: str, kind: str) -> Artifact | None:
        """The result of a key as the registry describes it, thin; None where it has none.

        What is no result of that key is said and counts as none, and a registry that does not
        answer is said once and asked no more: neither ends a command.
        """
        is_known = key in self._found or key in self._wrong or self._is_gone
        if not is_known and (artifact := self._asked(key, kind)):
            self._found[key] = artifact
        return self._found.get(key)

    @_in_turn
    def look_at(self, tag: str) -> Artifact | None:
        """The artifact of any tag, as `look` gives it; nothing is said of one that is wrong."""
        try:
            return None if self._is_gone else self._read(tag)
        except UserError:
            return None

    @_in_turn
    def fetch(self, artifact: Artifact) -> None:
        """Bring an artifact and all that it needs into the store, unless it is there.

        Raises:
            Lost: the place does not give it. It has been said, and `look` no longer finds it.
            UserError: the store cannot take it.
        """
        if self._store.find(artifact.digest):
            return
        key = artifact.provenance.key
        if self._is_gone:
            raise Lost
        try:
            watch = self._watching(f"fetching {artifact.provenance.step}")
            # By its descriptor: a name that is not there any more would be the user's mistake.
            bring(self.place, [("", artifact.descriptor)], self._store, hold=False, watch=watch)
        except PlaceError as error:
            self._drop(key, f"{_name(artifact)} cannot be fetched", error)
            raise Lost from error

    @_in_turn
    def first(self, made: Artifact) -> Artifact:
        """The result that counts of a key whose artifact was made just now, in the store whole.

        That is the one that the place has got meanwhile, so that whoever computes the same at the
        same time goes on with the same; the artifact itself where there is no other.
        """
        key = made.provenance.key
        self._made[key] = made
        if self._takes_none:
            return made
        try:
            if _is(self.place.resolve(cache_tag(key)), made):
                return made
        except PlaceError:  # `offer` will say it
            return made
        found = self.look(key, made.kind)
        if found is None:
            return made
        try:
            self.fetch(found)
        except Lost:
            return made
        del self._made[key]
        self._store.tag(found, cache_tag(key))
        self._say(
            f"{made.provenance.step}: another run pushed its result first, and that one counts"
        )
        return found

    @_in_turn
    def overtaken(self) -> bool:
        """Whether what was made and pushed here has been replaced there; then that counts.

        No registry compares before it writes: of two results of a key that are pushed in the same
        moment the later one stays, and who pushed the other finds out only now.
        """
        made = tuple(self._made.values())
        return [self.first(each) for each in made] != list(made)

    @_in_turn
    def offer(self, artifact: Artifact, tag: str, *, anew: bool = False) -> None:
        """Push an artifact of the store, unless it is there, and let a run name be its tag.

        It is found by its key unless the place has another result of that key, and that is whole;
        one that was made ``anew`` replaces it. What cannot be pushed now is said, and `settle`
        tries again. A place that no longer answers is waited for once, and not for every result.
        """
        if self._takes_none:
            self._unpushed.append((artifact, tag, anew))
            return
        try:
            self._push(artifact, tag, anew=anew)
        except PlaceError as error:
            self._unpushed.append((artifact, tag, anew))
            self._takes_none = not self._answers(error)
            later = "; nothing more is tried for now" if self._takes_none else ""
            self._say(f"warning: {_name(artifact)} was not pushed: {_sentence(error)}{later}")

    def check_write(self) -> None:
        """Try whether this user may push, before anything is made that takes long.

        Raises:
            PlaceError: the place cannot be reached, or refuses.
        """
        blob = Descriptor(
            media_type="application/vnd.oci.empty.v1+json",
            digest=oci.digest_of(NOTHING),
            size=len(NOTHING),
        )
        with TemporaryDirectory() as folder:
            source = Path(folder, "empty.json")
            source.write_bytes(NOTHING)
            self.place.write(blob, source, lambda _: None)

    @_in_turn
    def settle(self) -> None:
        """Push what could not be pushed when it was made, and say how much went up."""
        waiting, self._unpushed, self._takes_none = self._unpushed, [], False
        for artifact, tag, anew in waiting:
            self.offer(artifact, tag, anew=anew)
        if self._pushed:
            results = "1 result" if self._pushed == 1 else f"{self._pushed} results"
            self._say(f"{results} pushed to {self.place.name}")

    def require_pushed(self) -> None:
        """Refuse to call a command done whose results did not all go up.

        Raises:
            PlaceError: some of them did not.
        """
        if self._unpushed:
            names = ", ".join(tag for _, tag, _ in self._unpushed)
            raise PlaceError(
                f"{self.place.name} does not have what it should have of this run: {names}",
                "run the same command again: what was made is in the store, and only pushed",
            )

    def _push(self, artifact: Artifact, tag: str, *, anew: bool) -> None:
        key, is_here = artifact.provenance.key, self._store.find(artifact.digest) is not None
        known, named = self.place.resolve(cache_tag(key)), self.place.resolve(tag)
        if is_here and not _is(known, artifact):
            watch = self._watching(f"pushing {artifact.provenance.step}")
            push(self._store, [artifact.digest], self.place, evidence=False, watch=watch, tag=tag)
            self._pushed += 1
            if known and key in self._wrong:
                self._name(artifact.digest, cache_tag(key))
            elif known and anew:
                # What was made of it needs it, and it may have no other tag that keeps it.
                self._name(known.digest, digest_tag(known.digest))
                self._name(artifact.digest, cache_tag(key))
        elif not _is(named, artifact):  # all of it is there
            self._name(artifact.digest, tag)

    def _name(self, digest: str, tag: str) -> None:
        if found := self.place.manifest(digest):
            self.place.put_manifest(found, [tag])

    def _asked(self, key: str, kind: str) -> Artifact | None:
        tag = cache_tag(key)
        try:
            artifact = self._read(tag)
            if artifact:
                _check(artifact, key, kind)
        except UserError as error:
            self._drop(key, f"{tag[:18]} cannot be used", error)
            return None
        return artifact

    def _read(self, tag: str) -> Artifact | None:
        """Read and check the manifest and the provenance of a tag.

        Raises:
            PlaceError: the place does not give them, or they describe no artifact of ours.
            UserError: a newer version wrote them.
        """
        if (found := self.place.resolve(tag)) is None:
            return None
        node = read_node(self.place, found)
        if not is_artifact(node):
            raise PlaceError("it is no artifact of ours")
        return artifact_of(node, self._read_blob(config_of(node, self.place)), self.place)

    def _read_blob(self, blob: Descriptor) -> bytes:
        content = bytearray()
        with self.place.read(blob) as blocks:
            for block in blocks:
                content += block
                if len(content) > blob.size:
                    break
        if oci.digest_of(bytes(content)) != blob.digest:
            raise PlaceError("its provenance does not match its digest")
        return bytes(content)

    def _drop(self, key: str, what: str, error: UserError) -> None:
        """Know a key no more, or no key at all where the place does not answer."""
        self._found.pop(key, None)
        self._wrong.add(key)
        if self._is_gone:
            return
        if self._answers(error):
            self._say(
                f"warning: {self.place.name}: {what}: {_sentence(error)}; it is made here instead"
            )
            return
        self._is_gone = True
        self._found.clear()
        self._say(
            f"warning: {self.place.name} is not asked any more, and what it has is made here: "
            f"{_sentence(error)}"
        )

    def _answers(self, error: UserError) -> bool:
        """Whether the place answers other questions, after one that ended in an error."""
        from mmdet_jetson.registry.failures import Dropped  # noqa: PLC0415 - imports urllib3

        if isinstance(error, Dropped):  # after several attempts, which took minutes
            return False
        try:
            self.place.resolve(cache_tag("0"))
        except PlaceError:
            return False
        return True


def _check(artifact: Artifact, key: str, kind: str) -> None:
    if artifact.kind != kind:
        raise PlaceError(f"it is of kind {artifact.kind}, not {kind}")
    if artifact.provenance.key != key:
        raise PlaceError(f"it is the result of another key, {artifact.provenance.key[:12]!r}")


def _is(named: Descriptor | None, artifact: Artifact) -> bool:
    return named is not None and named.digest == artifact.digest


def _sentence(error: UserError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _name(artifact: Artifact) -> str:
    return f"{artifact.kind} {artifact.digest[7:19]}"
