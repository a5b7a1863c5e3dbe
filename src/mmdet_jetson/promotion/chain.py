"""Whether the records of a channel are a chain, and what of it was removed, changed or moved.

Nothing is read here: neither the file, nor git, nor the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from mmdet_jetson.promotion.records import (
    PROMOTE,
    RELEASE,
    ROLLBACK,
    Flaw,
    Record,
    digest_of,
)


def chain_flaws(
    records: Sequence[Record],
    before: Sequence[Record] | None = None,
    tags: Mapping[int, str] | None = None,
) -> list[Flaw]:
    """What is wrong with a chain, in the order of the records; empty where all is well.

    Args:
        records: as the file has them.
        before: an earlier state of them, as git has it: nothing of it may be gone or changed.
        tags: the bundle of each record by its number, as the tags of a store or a mirror have it.
            Not each record needs a tag: a clone's store may be empty.
    """
    flaws = [*_changed(records), *_links(records), *_placed(records)]
    if not flaws:
        flaws = [*_meaning(records)]
    known = {flaw.sequence for flaw in flaws}
    flaws += [each for each in _since(records, before or ()) if each.sequence not in known]
    known = {flaw.sequence for flaw in flaws}
    flaws += [each for each in _tagged(records, tags or {}) if each.sequence not in known]
    return sorted(flaws, key=lambda flaw: flaw.sequence)


def _changed(records: Sequence[Record]) -> Iterator[Flaw]:
    for each in records:
        if each.digest != digest_of(each):
            yield Flaw(
                each.sequence,
                f"record {each.sequence} was changed: its digest is of something else",
            )


def _links(records: Sequence[Record]) -> Iterator[Flaw]:
    """Follow the chain back from its end: what is missing in it, and what does not belong to it."""
    left = {each.digest: each for each in records}
    following: Record | None = None
    while following is None or following.previous:
        each = left.pop(following.previous, None) if following else None
        if each is None:
            each = _end(left, following)
            if following:
                yield _gap(following, each)
            if each is None:
                break
            del left[each.digest]
        following = each
    if following and not following.previous and following.sequence > 1:
        number = following.sequence
        yield Flaw(number, f"record {number} says that none came before it")
    kept = [each for each in records if each.digest not in left]
    yield from (_stray(each, kept) for each in left.values())


def _end(left: Mapping[str, Record], following: Record | None) -> Record | None:
    """Where a chain ends: the record with the highest number that no other was made after."""
    named = {each.previous for each in left.values()}
    ends = [
        each
        for each in left.values()
        if each.digest not in named and (following is None or each.sequence < following.sequence)
    ]
    # A number that is there twice: the first in the file is likelier to be the one that stays.
    return max(ends, key=lambda each: each.sequence, default=None)


def _gap(following: Record, found: Record | None) -> Flaw:
    """What lacks before a record, where ``found`` is the next one that is there."""
    first, last = (found.sequence if found else 0) + 1, following.sequence - 1
    if first > last:
        return Flaw(
            max(last, 1),
            f"record {max(last, 1)} was changed or replaced: record {following.sequence} was made "
            f"after another one, {_short(following.previous)}",
        )
    gone = f"record {last} was" if first == last else f"records {first} to {last} were"
    return Flaw(first, f"{gone} removed: record {following.sequence} was made after that")


def _stray(each: Record, kept: Sequence[Record]) -> Flaw:
    """A record that the chain does not lead through."""
    number = each.sequence
    twin = next((other for other in kept if other.sequence == number), None)
    after = next((other for other in kept if other.previous == each.previous), None)
    if twin and twin is kept[-1] and after is twin:
        said = (
            f"record {number} is there twice, by {twin.who} and by {each.who}: two branches were "
            "merged by hand"
        )
    else:
        said = f"record {number} by {each.who} was put in: no record was made after it"
    return Flaw(number, said)


def _placed(records: Sequence[Record]) -> Iterator[Flaw]:
    """Whether the records stand in the order of their numbers, each once."""
    seen = set[str]()
    for each in records:
        if each.digest in seen:
            yield Flaw(each.sequence, f"record {each.sequence} stands there twice")
        seen.add(each.digest)
    for first, second in pairwise(records):
        if first.sequence > second.sequence:
            yield Flaw(
                second.sequence,
                f"record {second.sequence} was moved: it stands behind record {first.sequence}",
            )
        elif first.digest == second.previous and first.sequence + 1 != second.sequence:
            yield Flaw(
                second.sequence,
                f"record {second.sequence} has a wrong number: it follows record {first.sequence}",
            )


def _meaning(records: Sequence[Record]) -> Iterator[Flaw]:
    """What no command would have written, though every digest fits."""
    held: Record | None = None
    bundles: dict[int, str] = {}
    for each in records:
        number, there = each.sequence, bundles.get(each.sequence - 1, "")
        yield from _of_another_action(each)
        if each.action == ROLLBACK:
            if bundles.get(each.restores or 0) != each.bundle:
                yield Flaw(
                    number,
                    f"record {number} says that it restores record {each.restores}, and has "
                    "another bundle",
                )
            elif each.undoes != (taken := taken_back(records[: number - 1], each.restores or 0)):
                yield Flaw(
                    number,
                    f"record {number} says that it takes back {_listed(each.undoes)}, and by "
                    f"restoring record {each.restores} it takes back {_listed(taken)}",
                )
            held = each
        elif each.action == RELEASE:
            if each.bundle != there:
                yield Flaw(number, f"record {number} only releases, and has another bundle")
            held = None
        elif held and not each.released:
            yield Flaw(
                number,
                f"record {number} was promoted while record {held.sequence} by {held.who} held the "
                "channel",
            )
        else:
            held = None
        bundles[number] = each.bundle


def _of_another_action(each: Record) -> Iterator[Flaw]:
    """What a record says that only one of another action can."""
    said = {
        "restores": each.action != ROLLBACK and each.restores is not None,
        "undoes": each.action != ROLLBACK and bool(each.undoes),
        "released": each.action != PROMOTE and each.released,
        "overrides": each.action != PROMOTE and bool(each.overrides),
    }
    for what, is_wrong in said.items():
        if is_wrong:
            yield Flaw(
                each.sequence, f"record {each.sequence} is a {each.action}, and has {what!r}"
            )


def taken_back(records: Sequence[Record], restored: int) -> tuple[int, ...]:
    """The records that a rollback to one of them takes back: what came in behind that."""
    return tuple(each.sequence for each in records[restored:] if each.action != RELEASE)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _since(records: Sequence[Record], before: Sequence[Record]) -> Iterator[Flaw]:
    now = {each.sequence: each for each in records}
    for each in before:
        found = now.get(each.sequence)
        if found is None:
            yield Flaw(each.sequence, f"record {each.sequence} was removed: git has it")
        elif found != each:
            yield Flaw(each.sequence, f"record {each.sequence} was changed: git has another one")


def _tagged(records: Sequence[Record], tags: Mapping[int, str]) -> Iterator[Flaw]:
    now = {each.sequence: each.bundle for each in records}
    for sequence, bundle in tags.items():
        if sequence not in now:
            yield Flaw(
                sequence,
                f"record {sequence} was removed, or this clone is behind: its tag is there and "
                f"names bundle {_short(bundle)}",
            )
        elif now[sequence] != bundle:
            yield Flaw(
                sequence,
                f"record {sequence} was replaced: its tag names bundle {_short(bundle)}, and it "
                f"has {_short(now[sequence])}",
            )


def _short(digest: str) -> str:
    return digest[7:19]
