"""What the records of a channel amount to: what is in it, since when, what became of the rest."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from mmdet_jetson.promotion.records import (
    PROMOTE,
    RELEASE,
    ROLLBACK,
    Flaw,
    Override,
    Record,
    overrides_behind,
)
from mmdet_jetson.promotion.verdicts import Verdict

ReadVerdict = Callable[[str], Verdict | None]
"""Gives the verdict of a digest; None where it is not in this store."""


@dataclass(frozen=True)
class Entry:
    """A record, and what later records made of it.

    Attributes:
        until: when the next record put another bundle in its place; "" where none did.
        undone_by: the rollback that took it back; None where none did.
        ended_hold: the rollback whose hold it ended; None where it ended none.
        hold_ended_by: of a rollback, the record that let promotions in again; None where none did.
        overrides: its own, and of a rollback those of the records that it restores: a release stays
            marked however it comes back.
    """

    record: Record
    until: str = ""
    undone_by: int | None = None
    ended_hold: int | None = None
    hold_ended_by: int | None = None
    overrides: tuple[Override, ...] = ()

    @property
    def short(self) -> str:
        """What a line calls the bundle."""
        return short(self.record.bundle)

    @property
    def title(self) -> str:
        """The name that the bundle had, or the start of its digest."""
        return self.record.name or self.short

    @property
    def put_in(self) -> bool:
        """Whether it put a bundle into the channel; a release only ends a hold."""
        return self.record.action != RELEASE


@dataclass(frozen=True)
class History:
    """A channel as its records tell it, the newest entry last.

    Attributes:
        flaws: what is wrong with it; then nothing else here is to be relied on.
        notes: what else its tags tell, which is nothing wrong.
        now: the entry that put in what is in the channel; None where nothing is.
        held_by: the rollback that keeps promotions out; None where they may come in.
    """

    channel: str
    entries: tuple[Entry, ...]
    flaws: tuple[Flaw, ...] = ()
    notes: tuple[str, ...] = ()
    now: Entry | None = None
    held_by: Entry | None = None

    def of(self, action: str) -> list[Entry]:
        """The entries of an action."""
        return [each for each in self.entries if each.record.action == action]

    @property
    def overridden(self) -> list[Entry]:
        """The entries that somebody overrode gates for."""
        return [each for each in self.entries if each.record.overrides]

    @property
    def summary(self) -> str:
        """How many records of which kind, as a sentence without its dot."""
        counts = [
            (self.of(PROMOTE), "promotion", "promotions"),
            (self.of(ROLLBACK), "rollback", "rollbacks"),
            (self.of(RELEASE), "release of a hold", "releases of a hold"),
            (self.overridden, "record with overridden gates", "records with overridden gates"),
        ]
        told = [_counted(len(found), one, many) for found, one, many in counts if found]
        return ", ".join([_counted(len(self.entries), "record"), *told])


def history_of(
    channel: str,
    records: Sequence[Record],
    flaws: Iterable[Flaw] = (),
    notes: Iterable[str] = (),
) -> History:
    """Read what became of every record out of those behind it."""
    undone = {each: record.sequence for record in records for each in record.undoes}
    by_number = {each.sequence: each for each in records}
    ends, holds = _ends(records), _holds(records)
    freed = {
        held: record.sequence
        for record, held in zip(records, holds, strict=False)
        if held is not None
    }
    entries = tuple(
        Entry(
            record,
            ends[place],
            undone.get(record.sequence),
            holds[place],
            freed.get(record.sequence),
            overrides_behind(record, by_number),
        )
        for place, record in enumerate(records)
    )
    now = next((each for each in reversed(entries) if each.put_in), None)
    held = holds[len(records)]
    held_by = next((each for each in reversed(entries) if each.record.sequence == held), None)
    holder = held_by if held is not None else None
    return History(channel, entries, tuple(flaws), tuple(notes), now, holder)


def _ends(records: Sequence[Record]) -> list[str]:
    """When another bundle came, by place."""
    ends, until = [], ""
    for place in range(len(records) - 1, -1, -1):
        after = records[place + 1] if place + 1 < len(records) else None
        if after and after.bundle != records[place].bundle:
            until = after.at
        ends.append(until)
    return ends[::-1]


def _holds(records: Sequence[Record]) -> list[int | None]:
    """By place, the rollback whose hold the record ended; last, the one that holds now."""
    ended: list[int | None] = []
    held: int | None = None
    for record in records:
        frees = record.action == RELEASE or record.released
        ended.append(held if frees else None)
        if record.action == ROLLBACK:
            held = record.sequence
        elif frees:
            held = None
    return [*ended, held]


def short(digest: str) -> str:
    """The first 12 digits of a digest, by which commands take it."""
    return digest.removeprefix("sha256:")[:12]


def moment(text: str) -> datetime | None:
    """A time of a record, in UTC; None for what is no time."""
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)


def day(text: str) -> str:
    """A time as people read it: ``2026-11-20 10:12``, in UTC; as it is where that is no time."""
    at = moment(text)
    return f"{at:%Y-%m-%d %H:%M}" if at else text


def lasted(start: str, end: str, now: datetime) -> str:
    """How long it was from one time to another, or to now where ``end`` is empty."""
    first, last = moment(start), moment(end) if end else now
    if first is None or last is None:
        return "?"
    minutes = max(0.0, (last - first).total_seconds() / 60)
    for unit, size, most in (("minute", 1, 60), ("hour", 60, 48), ("day", 1440, 60)):
        if minutes < size * most:
            return _counted(int(minutes / size), unit)
    return _counted(round(minutes / 1440 / 30.44), "month")


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one}" if number == 1 else f"{number} {many or f'{one}s'}"
