"""What is said of a record, in a terminal and on a page alike."""

from collections.abc import Iterator
from datetime import datetime

from mmdet_jetson.contract.report import PASS
from mmdet_jetson.promotion.history import Entry, lasted, short
from mmdet_jetson.promotion.records import ROLLBACK
from mmdet_jetson.promotion.verdicts import Verdict


def story(entry: Entry, now: datetime) -> Iterator[str]:
    """What a record did besides, and what became of what it put in, a sentence each."""
    record = entry.record
    if record.restores:
        taken = ", ".join(map(str, record.undoes))
        yield f"restores record {record.restores}" + (f", takes back {taken}" if taken else "")
    if record.action == ROLLBACK:
        until = f"record {entry.hold_ended_by}" if entry.hold_ended_by else "somebody releases it"
        yield f"holds the channel: no promotion until {until}"
    if entry.ended_hold:
        yield f"ends the hold of record {entry.ended_hold}"
    if entry.undone_by:
        yield f"taken back by the rollback of record {entry.undone_by}"
    if entry.put_in:
        stayed = lasted(record.at, entry.until, now)
        yield f"was in the channel for {stayed}" if entry.until else f"in the channel for {stayed}"


def evidence(entry: Entry, verdict: Verdict | None) -> str:
    """What a release was let in on: how many gates passed, and what the others said."""
    record = entry.record
    first = f"judged when record {record.restores} let it in; " if record.restores else ""
    if not record.verdict:
        return "No verdict is recorded."
    if verdict is None:
        return sentence(f"{first}{_by_record(entry)} (verdict {short(record.verdict)}, not here)")
    passed = f"{len(verdict.of(PASS))} of {len(verdict.gates)} gates passed"
    said = sentence(f"{first}{passed} (verdict {short(record.verdict)})")
    missed = [each for each in verdict.gates if each.outcome != PASS]
    return " ".join(
        [said, *(f"{each.name} was {each.outcome}: {each.sentence}" for each in missed)]
    )


def _by_record(entry: Entry) -> str:
    """What the record alone tells of a verdict: nothing gets in that neither passed nor was let."""
    if not entry.put_in:
        return "a release of a hold judges nothing"
    if not entry.overrides:
        return "every gate passed"
    return f"every gate passed but {', '.join(each.gate for each in entry.overrides)}"


def sentence(said: str) -> str:
    """Make a sentence of words."""
    return f"{said[:1].upper()}{said[1:]}."


def judged(count: int) -> str:
    """How often validation pictures have been judged by, and what that means; "" for unknown."""
    if count < 1:
        return ""
    times = "1 release" if count == 1 else f"{count} releases"
    return (
        f"Its validation pictures have judged {times} by then, this one included. The more often "
        "the same pictures judge, the less a pass says: somebody passes by luck."
    )
