"""Whether channels are what they say: their chains, what they name in the store, the mirror.

A problem is something that no command of ours would leave, at whatever moment it is killed. What
one may leave, or what another clone has and this one has not, is a note.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.contract.report import PASS
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.channel_tags import flaws_in, way_out
from mmdet_jetson.promotion.keeping import verdict_of
from mmdet_jetson.promotion.mirror import (
    compare,
    how_to_mend,
    numbers,
    read_tags,
    refuse_fork,
    tags_of,
)
from mmdet_jetson.promotion.records import PROMOTE, Record
from mmdet_jetson.promotion.verdicts import KIND, Verdict
from mmdet_jetson.registry.names import channel_of, channel_tag
from mmdet_jetson.registry.place import Place, PlaceError
from mmdet_jetson.registry.reference import is_digest
from mmdet_jetson.store import Artifact, Bundle, Store

TAGS_FOLLOW = "the next promotion sets the tags right, or `invoke verify --mend`"


@dataclass(frozen=True)
class Finding:
    """What was found about a channel, as a sentence, and what to do; a note is no problem."""

    channel: str
    what: str
    mend: str = ""
    is_problem: bool = True


class _ByDigest(Mapping[str, Artifact]):
    """The artifacts of a store: each is read when it is asked for, and not all of them at first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, digest: str) -> Artifact:
        if is_digest(digest) and (found := self._store.find(digest)):
            return found
        raise KeyError(digest)

    def __iter__(self) -> Iterator[str]:
        return (each.digest for each in self._store.artifacts())

    def __len__(self) -> int:
        return len(self._store.artifacts())


@dataclass(frozen=True)
class Shelf:
    """What a store has, by digest: one look at a store for a thousand records."""

    store: Store
    bundles: Mapping[str, Bundle]
    artifacts: Mapping[str, Artifact]

    def has(self, digest: str) -> bool:
        """Whether a bundle is here with all its parts."""
        found = self.bundles.get(digest)
        return found is not None and all(self.store.part(part) for part in found.parts)

    def verdict(self, digest: str) -> Verdict | None:
        """The verdict of a digest; None where it is not here.

        Raises:
            UserError: it is no verdict, or cannot be read.
        """
        artifact = self.artifacts.get(digest)
        if artifact is None:
            return None
        if artifact.kind != KIND:
            raise UserError(f"{digest[7:19]} is {artifact.kind} and no verdict")
        return verdict_of(self.store, artifact)


def shelf_of(store: Store) -> Shelf:
    """Look at a store; at one that does not exist, too."""
    if not store.exists():
        return Shelf(store, {}, {})
    return Shelf(store, {each.digest: each for each in store.bundles()}, _ByDigest(store))


def verify_chain(
    store: Store, channel: str, records: Sequence[Record], path: Path
) -> Iterator[Finding]:
    """Find what is wrong with the records by themselves, and against git and this store's tags.

    Raises:
        UserError: what git has of the file cannot be read.
    """
    for flaw in flaws_in(store, path, channel, records):
        yield Finding(channel, flaw.what, way_out(path))


def verify_left(store: Store, channel: str, path: Path) -> Iterator[Finding]:
    """Find tags of a channel that has no file, and whose records nobody misses."""
    if tags := [tag for tag in sorted(store.tags()) if _is_of(channel, tag)]:
        more = f" and {len(tags) - 1} more" if len(tags) > 1 else ""
        yield Finding(
            channel,
            f"there is no {path}, and this store has tag {tags[0]}{more}",
            "`git pull`; where it is not to come, `invoke verify --mend` takes the tags away",
            is_problem=False,
        )


def _is_of(channel: str, tag: str) -> bool:
    found = channel_of(tag)
    return found is not None and found[0] == channel


def verify_store(channel: str, records: Sequence[Record], shelf: Shelf) -> Iterator[Finding]:
    """Find whether what the records name is here, is what they say, and is proven."""
    missing = [each for each in records if not shelf.has(each.bundle)]
    if missing:
        yield _not_here(channel, records, missing)
    overridden: dict[str, set[str]] = {}
    for record in records:
        names = {each.gate for each in record.overrides}
        if record.action != PROMOTE:  # what is back was overridden when it came in
            names |= overridden.get(record.verdict, set())
        overridden[record.verdict] = names
        for what in _unproven(channel, record, shelf, names):
            yield Finding(channel, f"record {record.sequence}: {what}", "invoke promote --check")
    last = records[-1] if records else None
    if last and last.verdict and last not in missing and last.verdict not in shelf.artifacts:
        yield Finding(
            channel,
            f"the verdict of record {last.sequence}, {last.verdict[7:19]}, is not here",
            f"invoke pull {channel_tag(channel)}",
            is_problem=False,
        )
    yield from verify_tags(channel, records, shelf.store)


def _not_here(channel: str, records: Sequence[Record], missing: Sequence[Record]) -> Finding:
    """Say which bundles are elsewhere: that is how a clone begins."""
    which = numbers([each.sequence for each in missing])
    is_last = records[-1] in missing
    pull = f"invoke pull {channel_tag(channel, 0 if is_last else missing[-1].sequence)}"
    what = f"the bundles of {which} are" if len(missing) > 1 else f"the bundle of {which} is"
    return Finding(channel, f"{what} not here", pull, is_problem=False)


def _unproven(channel: str, record: Record, shelf: Shelf, overridden: set[str]) -> Iterator[str]:
    """Compare a record with its verdict, where that is here."""
    if not record.verdict:
        if record.action == PROMOTE:
            yield "it names no verdict"
        return
    try:
        verdict = shelf.verdict(record.verdict)
    except UserError as error:
        yield error.message
        return
    if verdict is None:
        return
    said = ((verdict.bundle, record.bundle, "bundle"), (verdict.channel, channel, "channel"))
    for theirs, ours, what in said:
        if theirs != ours:
            yield f"its verdict is about another {what}, {_short(theirs)}"
    if record.policy and verdict.policy_digest != record.policy:
        yield f"its verdict is by another policy, {_short(verdict.policy_digest)}"
    open_gates = [each for each in verdict.gates if each.outcome != PASS]
    if not verdict.gates:
        yield "its verdict is by no gate at all"
    for each in open_gates:
        if each.name not in overridden:
            yield f"gate {each.name} is {each.outcome}, and the record does not override it"


def _short(named: str) -> str:
    return named[7:19] if is_digest(named) else named[:48]


def verify_tags(channel: str, records: Sequence[Record], store: Store) -> Iterator[Finding]:
    """Find what this store's tags name and the file does not; whether it should is for the chain.

    The channel's own tag moves once a record is written, so it tells of one that was.
    """
    tags = tags_of(channel, {tag: each.digest for tag, each in store.tags().items()})
    found = compare(channel, records, tags)
    for fork in found.forks:
        if fork.record:
            what = f"{fork}: promoted here, and others were faster"
            yield Finding(channel, what, TAGS_FOLLOW, is_problem=False)
        else:
            yield Finding(channel, str(fork), "invoke verify --mend, or `git pull` first")
    written = [number for number in found.ahead if tags.numbered[number] == tags.current]
    for number in found.ahead:
        of = f"record {number} of here, with bundle {tags.numbered[number][7:19]},"
        what = "was taken back" if number in written else "was begun and not written"
        yield Finding(channel, f"{of} {what}; its tag is left", TAGS_FOLLOW, is_problem=False)


def verify_mirror(channel: str, records: Sequence[Record], place: Place) -> Iterator[Finding]:
    """Compare the tags of a place with the records.

    Raises:
        PlaceError: it cannot be reached, or answers what is wrong.
    """
    found = compare(channel, records, read_tags(place, channel))
    for fork in found.forks:
        yield Finding(channel, f"{place.name} has forked: {fork}", how_to_mend(fork, place.name))
    if found.ahead and not found.forks:
        try:
            refuse_fork(channel, found, place.name)
        except PlaceError as error:
            yield Finding(channel, error.message, error.hint)
    elif records and found.agrees and not _has_verdict(records[-1], place):
        yield Finding(
            channel,
            f"{place.name} has not the verdict of record {records[-1].sequence}",
            f"invoke push {channel_tag(channel)} --to {place.name}",
            is_problem=False,
        )
    elif records and not found.agrees and not found.forks:
        behind = f", it lacks {numbers(found.lacking)}" if found.lacking else ""
        yield Finding(
            channel,
            f"{place.name} is behind{behind}",
            f"invoke push {channel_tag(channel)} --to {place.name}",
            is_problem=False,
        )


def _has_verdict(record: Record, place: Place) -> bool:
    return not record.verdict or place.resolve(record.verdict) is not None
