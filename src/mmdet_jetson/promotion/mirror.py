"""A channel in a place: its bundles with all that was measured of them, and a tag for each record.

The file of the channel is what counts. A place has no compare-and-swap, so nothing keeps two from
writing their own story there; what does not agree with the file is found instead, and named: before
anything is sent, after it, and whenever somebody asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.channel_tags import told
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.registry.moving import Moved, Watch
from mmdet_jetson.registry.names import channel_of, channel_tag
from mmdet_jetson.registry.place import Place, PlaceError
from mmdet_jetson.registry.push import push
from mmdet_jetson.registry.workers import Workers
from mmdet_jetson.store import Store


@dataclass(frozen=True)
class Tags:
    """The digests of bundles that the tags of a channel name: by record, and ``current``, or ""."""

    numbered: Mapping[int, str]
    current: str = ""


@dataclass(frozen=True)
class Fork:
    """A tag that names another bundle than the file of its channel does.

    The file has ``wanted`` there, "" for nothing; ``record`` is None for the channel's own tag.
    """

    tag: str
    bundle: str
    wanted: str
    record: Record | None = None

    def __str__(self) -> str:
        there = f"{self.tag} is bundle {self.bundle[7:19]}"
        if self.record is None:
            return f"{there}, which no record of the channel has"
        return f"{there}, and {told(self.record)} has {self.wanted[7:19]}"


@dataclass(frozen=True)
class Comparison:
    """How tags agree with the records of a channel.

    Attributes:
        forks: tags that name something else.
        ahead: numbers that have a tag and are in no record.
        lacking: records that have no tag.
        is_current: whether the channel's own tag names what the last record does.
    """

    forks: tuple[Fork, ...]
    ahead: tuple[int, ...]
    lacking: tuple[int, ...]
    is_current: bool

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.forks or self.ahead or self.lacking) and self.is_current


def tags_of(channel: str, named: Mapping[str, str]) -> Tags:
    """Pick the tags of a channel from all there are; ``named`` maps a tag to a digest."""
    ours = {of[1]: digest for tag, digest in named.items() if (of := _ours(channel, tag))}
    return Tags({each: ours[each] for each in sorted(ours) if each}, ours.get(0, ""))


def _ours(channel: str, tag: str) -> tuple[str, int] | None:
    found = channel_of(tag)
    return found if found and found[0] == channel else None


def read_tags(place: Place, channel: str) -> Tags:
    """Ask a place what the tags of a channel name there.

    Raises:
        PlaceError: it cannot be reached, or answers what is wrong.
    """
    tags = [tag for tag in place.tags() if _ours(channel, tag)]
    found = zip(tags, Workers().map(place.resolve, tags), strict=True)
    return tags_of(channel, {tag: each.digest for tag, each in found if each})


def compare(channel: str, records: Sequence[Record], tags: Tags) -> Comparison:
    """Compare tags with the records of a channel, whose numbers begin at 1."""
    numbered = {each.sequence: each for each in records}
    last = records[-1].bundle if records else ""
    forks = [
        Fork(channel_tag(channel, number), bundle, numbered[number].bundle, numbered[number])
        for number, bundle in tags.numbered.items()
        if number in numbered and numbered[number].bundle != bundle
    ]
    ahead = {number: tags.numbered[number] for number in tags.numbered if number not in numbered}
    known = {each.bundle for each in records} | {*ahead.values()}
    explained = known | {fork.bundle for fork in forks}
    if tags.current and tags.current not in explained:
        forks.append(Fork(channel_tag(channel), tags.current, last))
    lacking = [each for each in numbered if each not in tags.numbered]
    return Comparison(tuple(forks), tuple(ahead), tuple(lacking), tags.current == last)


def refuse_fork(channel: str, found: Comparison, place: str) -> None:
    """Refuse to go on where a place has another story of a channel than its file, or more of it.

    Raises:
        PlaceError: says which tags, and what to do.
    """
    if found.forks:
        first = found.forks[0]
        more = f", and {len(found.forks) - 1} more" if len(found.forks) > 1 else ""
        raise PlaceError(
            f"channel {channel} has forked in {place}: {first}{more}", how_to_mend(first, place)
        )
    if found.ahead:
        raise PlaceError(
            f"{place} is ahead: it has {numbers(found.ahead)} of channel {channel}, which the file "
            "here has not",
            "`git pull`; if that brings nothing, somebody promoted and has not pushed the commit",
        )


def how_to_mend(fork: Fork, place: str) -> str:
    """Say what to do about a fork: git decides who is right."""
    if not fork.wanted:
        return "`git pull`: the records of it are missing here"
    return (
        "`git pull`; if the file is as it was merged, the tag is wrong, and "
        f"`invoke push {fork.wanted} --to {place}:{fork.tag}` mends it"
    )


def numbers(which: Sequence[int]) -> str:
    """Name records: ``record 3``, ``records 3 to 5``, ``records 3, 5 and 4 more``."""
    first, last = which[0], which[-1]
    if len(which) == 1:
        return f"record {first}"
    if last - first + 1 == len(which):
        return f"records {first} to {last}"
    listed = ", ".join(map(str, which[:4]))
    return f"records {listed}" + (f" and {len(which) - 4} more" if len(which) > 4 else "")


@dataclass(frozen=True)
class Mirrored:
    """What a push of a channel has done: the records that got a tag, what went, what is nowhere."""

    tagged: tuple[int, ...]
    moved: tuple[Moved, ...]
    nowhere: tuple[str, ...]


def push_channel(
    store: Store,
    channel: str,
    records: Sequence[Record],
    place: Place,
    watch: Watch | None = None,
) -> Mirrored:
    """Bring a channel's bundles with their evidence to a place, and then name them there.

    A bundle of an earlier record that is not here is named where the place has it. Each is whole
    there before a tag names it, the tags go up in order and the channel's own goes last: who is
    killed between leaves a place that is behind.

    Raises:
        UserError: the last record's bundle, or its verdict, is neither here nor there.
        PlaceError: the place has forked or is ahead, and nothing was sent; or it refuses; or
            somebody else has pushed another story meanwhile.
    """
    found = compare(channel, records, read_tags(place, channel))
    refuse_fork(channel, found, place.name)
    return _Mirroring(store, channel, place, watch).run(records, found)


def _needs(record: Record) -> list[tuple[str, str]]:
    """What a record names: its bundle, and the verdict that let it in."""
    named = (("bundle", record.bundle), ("verdict", record.verdict))
    return [(what, digest) for what, digest in named if digest]


class _Mirroring:
    def __init__(self, store: Store, channel: str, place: Place, watch: Watch | None) -> None:
        self._store = store
        self._channel = channel
        self._place = place
        self._watch = watch
        self._moved: list[Moved] = []
        self._gone: dict[str, bool] = {}

    def run(self, records: Sequence[Record], found: Comparison) -> Mirrored:
        last, lacking = records[-1], set(found.lacking)
        here = self._here(records, lacking)
        nowhere = self._nowhere([each for each in records if each.sequence in lacking], here)
        self._require(last, here)
        tagged = []
        for record in records:
            if record.sequence in lacking or record is last:
                self._send(record, here)
            if record.sequence in lacking and self._is_there(record.bundle):
                self._name(record.bundle, channel_tag(self._channel, record.sequence))
                tagged.append(record.sequence)
        if not found.is_current:
            self._name(last.bundle, channel_tag(self._channel))
        self._look_again(records)
        return Mirrored(tuple(tagged), tuple(self._moved), tuple(nowhere))

    def _here(self, records: Sequence[Record], lacking: set[int]) -> set[str]:
        """What the records to be pushed need of the store and is whole there: digests."""
        wanted = [each for each in records if each.sequence in lacking or each is records[-1]]
        digests = {each.bundle for each in wanted} | {each.verdict for each in wanted}
        bundles = {
            each.digest
            for each in self._store.bundles()
            if each.digest in digests and all(self._store.part(part) for part in each.parts)
        }
        return bundles | {e.digest for e in self._store.artifacts() if e.digest in digests}

    def _nowhere(self, records: Sequence[Record], here: set[str]) -> list[str]:
        """What is neither here nor there of some records, as a user reads it."""
        return [
            f"{what} {digest[7:19]} of record {record.sequence}"
            for record in records
            for what, digest in _needs(record)
            if digest not in here and not self._is_there(digest)
        ]

    def _require(self, record: Record, here: set[str]) -> None:
        """Refuse to name in a place what is in the channel now without what it is and why."""
        for what, digest in _needs(record):
            if digest not in here and not self._is_there(digest):
                raise UserError(
                    f"the {what} of record {record.sequence} of channel {self._channel}, "
                    f"{digest[7:19]}, is neither in {self._store.root} nor in {self._place.name}",
                    f"push from where it was promoted, by {record.who}; or pull it from there",
                )

    def _send(self, record: Record, here: set[str]) -> None:
        """Bring a bundle and its verdict there, as far as they are here and did not go yet."""
        names = [each for each in (record.bundle, record.verdict) if each in here]
        new = [each for each in names if each not in self._gone]
        if new:
            self._moved.append(push(self._store, new, self._place, watch=self._watch))
            self._gone.update(dict.fromkeys(new, True))

    def _is_there(self, digest: str) -> bool:
        if not self._gone.get(digest):
            self._gone[digest] = self._place.resolve(digest) is not None
        return self._gone[digest]

    def _name(self, digest: str, tag: str) -> None:
        content = self._place.manifest(digest)
        if content is None:
            raise PlaceError(f"{self._place.name} no longer has {digest[:19]}", "push again")
        self._place.put_manifest(content, [tag])

    def _look_again(self, records: Sequence[Record]) -> None:
        """Find out whether somebody has written another story at the same time."""
        after = compare(self._channel, records, read_tags(self._place, self._channel))
        refuse_fork(self._channel, after, self._place.name)
        if not after.is_current:
            raise PlaceError(
                f"{channel_tag(self._channel)} in {self._place.name} was moved back meanwhile, by "
                "somebody whose file is behind",
                "run the same command again",
            )
