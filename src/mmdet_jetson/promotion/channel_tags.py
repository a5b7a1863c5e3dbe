"""The tags that a store has for the records of its channels, and whether both tell the same.

A store's tags keep bundles from being collected. They are of this machine alone, so where they and
the file differ, git decides: what it has of the file is what others have seen.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.channel_file import chain_flaws
from mmdet_jetson.promotion.published import is_known_to_git, published
from mmdet_jetson.promotion.records import Flaw, Record
from mmdet_jetson.registry.names import channel_of, channel_tag, digest_tag
from mmdet_jetson.store import Bundle, Store


def tags_in(store: Store, channel: str) -> dict[int, str]:
    """The bundles that tags name for a channel, by record; 0 for the channel's own tag."""
    named = {channel_of(tag): each.digest for tag, each in store.tags().items()}
    return {of[1]: digest for of, digest in named.items() if of and of[0] == channel}


def refuse_flawed(store: Store, path: Path, channel: str, records: Sequence[Record]) -> None:
    """Refuse to go on with a channel whose records are no chain, or not those that git has.

    Raises:
        UserError: says what is wrong with it.
    """
    if flaws := flaws_in(store, path, channel, records):
        more = f" ({len(flaws) - 1} more: invoke verify)" if len(flaws) > 1 else ""
        raise UserError(
            f"{path} is no history any more: {flaws[0].what}{more}",
            way_out(path),
        )


def way_out(path: Path) -> str:
    """What to do about a channel that is no history any more."""
    if is_known_to_git(path):
        return f"what git has of it: git log -p -- {path}"
    if path.exists():
        return "put it back from a copy"
    return "put it back from a copy; where it is not to come back: invoke verify --mend"


def left_of(store: Store, channels: Collection[str]) -> list[str]:
    """The channels that the store has tags of, besides these, which have a file."""
    found = {of[0] for tag in store.tags() if (of := channel_of(tag))} if store.exists() else set()
    return sorted(found - set(channels))


def is_given_up(path: Path) -> bool:
    """Whether the file of a channel is gone and nothing has it, so that its tags may go too.

    Raises:
        UserError: git's state of the file cannot be read.
    """
    if path.exists():
        return False
    before = published(path)
    # While it merges, git says nothing, and will again.
    return not is_known_to_git(path) if before is None else not before


def flaws_in(store: Store, path: Path, channel: str, records: Sequence[Record]) -> list[Flaw]:
    """What is wrong with the records of a channel, by themselves, by git and by the store's tags.

    Raises:
        UserError: git's state of the file cannot be read.
    """
    before = published(path)
    return chain_flaws(records, before, _unsettled(tags_in(store, channel), records, before))


def overtaken(store: Store, channel: str, records: Sequence[Record]) -> Iterator[str]:
    """What was promoted here and has come to nothing, as others were faster; a sentence each."""
    now = {each.sequence: each for each in records}
    tags = tags_in(store, channel)
    for number, bundle in sorted(tags.items()):
        record = now.get(number)
        if record and record.bundle != bundle:
            yield (
                f"meanwhile {told(record)} has come into {channel}; record {number} of here, with "
                f"bundle {bundle[7:19]}, is not in it"
            )
        elif number and not record and tags.get(0) == bundle:
            yield f"record {number} of here, with bundle {bundle[7:19]}, was taken back"


def settle(store: Store, channel: str, records: Sequence[Record]) -> None:
    """Have the tags say what the records do, as far as their bundles are here.

    Tags of records that are no more go, and what a killed promotion has left.
    """
    bundles = {each.digest: each for each in store.bundles()}
    wanted = {each.sequence: each.bundle for each in records}
    if records:
        wanted[0] = records[-1].bundle
    there = tags_in(store, channel)
    wrong = [number for number, bundle in there.items() if wanted.get(number) != bundle]
    _keep(store, {there[number] for number in wrong}, bundles)
    if gone := [number for number in wrong if wanted.get(number) not in bundles]:
        store.untag(*(channel_tag(channel, number) for number in gone))
    lacking = dict[str, list[str]]()
    for number, bundle in wanted.items():
        if there.get(number) != bundle and bundle in bundles:
            lacking.setdefault(bundle, []).append(channel_tag(channel, number))
    for bundle, tags in lacking.items():
        store.tag(bundles[bundle], *tags)


def hold_named(store: Store, channel: str, records: Sequence[Record]) -> None:
    """Give every bundle of a channel that is here a tag, so that nothing collects it.

    No tag moves: where one says something else than the file, somebody has to look at it.
    """
    bundles = {each.digest: each for each in store.bundles()}
    tags = store.tags()
    named = {each.digest for each in tags.values()}
    for each in records:
        if each.bundle in bundles and each.bundle not in named:
            tag = channel_tag(channel, each.sequence)
            store.tag(bundles[each.bundle], digest_tag(each.bundle) if tag in tags else tag)
            named.add(each.bundle)


def _keep(store: Store, digests: set[str], bundles: Mapping[str, Bundle]) -> None:
    """Keep bundles that lose a tag: what came to nothing in a channel may be all there is of it."""
    for digest in digests & set(bundles):
        names = [tag for tag, each in store.tags().items() if each.digest == digest]
        if all(channel_of(tag) for tag in names):
            store.tag(bundles[digest], digest_tag(digest))


def here(store: Store, digest: str) -> Bundle | None:
    """A bundle that is in the store with all its parts; None for one that is not."""
    bundle = store.bundle(digest)
    return bundle if bundle and not store.damage(digest) else None


def told(record: Record) -> str:
    """What a sentence calls a record."""
    what = f"{record.action} of {record.name or record.bundle[7:19]}"
    return f"record {record.sequence} ({what} by {record.who}, {record.at})"


def _unsettled(
    tags: Mapping[int, str], records: Sequence[Record], before: Sequence[Record] | None
) -> dict[int, str]:
    """The tags that decide: those of records that git does not know of.

    Without git, that is those behind the last record, too. A promotion that was killed leaves one
    tag there, right behind it, and then the channel's own tag has not followed.
    """
    known = {each.sequence for each in before or () if each in records}
    last = records[-1].sequence if records else 0
    behind = [number for number in tags if number > last]
    left = behind == [last + 1] and tags[last + 1] != tags.get(0)
    counts = before is None and not left
    return {
        number: bundle
        for number, bundle in tags.items()
        if number and number not in known and (number <= last or counts)
    }
