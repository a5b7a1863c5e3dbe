"""``invoke history``: what is in a channel, since when, why, on what evidence; what was before."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import partial

import msgspec
from rich.console import Console

from mmdet_jetson.cli.pages import write_page
from mmdet_jetson.cli.part_lines import decimals, printable
from mmdet_jetson.cli.wrapping import fitted
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.channel_file import (
    channel_names,
    channel_path,
    is_channel_name,
    read_channel,
)
from mmdet_jetson.promotion.channel_tags import flaws_in, left_of, refuse_flawed
from mmdet_jetson.promotion.history import Entry, History, day, history_of, lasted
from mmdet_jetson.promotion.keeping import read_verdict
from mmdet_jetson.promotion.records import RELEASE, ROLLBACK, Record
from mmdet_jetson.promotion.release_figures import Figure, Measured, measured_in, releases_of
from mmdet_jetson.promotion.telling import evidence, judged, sentence, story
from mmdet_jetson.promotion.verdicts import Verdict
from mmdet_jetson.promotion.verifying import verify_tags
from mmdet_jetson.store import Store

_print = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)


def history(
    name: str, *, as_json: bool = False, page: str | bool = False, may_fail: bool = True
) -> None:
    """Tell the history of a channel; of every channel where ``name`` is empty.

    ``page`` is the file to write instead, or True for one in the store's folder.

    Raises:
        UserError: there is no such channel, its file cannot be read or the page not be written; or
            all was told, and it cannot be trusted, unless somebody else is to say so.
    """
    settings = read_settings()
    store = Store(settings.artifacts)
    told = [read_history(settings, each) for each in ([name] if name else _all(settings, store))]
    now = datetime.now(timezone.utc)
    if page:
        # Templates and charts, which nothing else here needs.
        from mmdet_jetson.promotion.channel_page import render_channels  # noqa: PLC0415

        text = render_channels(
            told, partial(releases_of, store), partial(verdict_in, store), now, printable
        )
        path = write_page(page, store, f"channel-{name}" if name else "channels", text)
        _print(f"wrote {path}")
    elif as_json:
        documents = [_document(each, store) for each in told]
        said = json.dumps(documents[0] if name else documents, indent=1)
        Console(emoji=False).out(said, highlight=False)
    else:
        for each in told:
            said = fitted(map(printable, _lines(each, store, now)))
            Console(emoji=False).out(said, highlight=False)
    flawed = [each.channel for each in told if each.flaws]
    if flawed and may_fail:
        raise UserError(f"channel {flawed[0]} is no history any more", "invoke verify")


def _all(settings: Settings, store: Store) -> list[str]:
    names = channel_names(settings)
    if not names:
        for each in filter(is_channel_name, left_of(store, ())):
            refuse_flawed(store, channel_path(settings, each), each, ())
        raise UserError("there is no channel yet", "invoke promote BUNDLE --to NAME makes one")
    return names


def read_history(settings: Settings, name: str) -> History:
    """Read a channel's file, what became of each of its records, and what speaks against it.

    Raises:
        UserError: there is no such channel, or its file cannot be read.
    """
    path, store = channel_path(settings, name), Store(settings.artifacts)
    records = read_channel(path)
    if not records:
        refuse_flawed(store, path, name, records)
        known = [each for each in channel_names(settings) if each != name]
        makes = f"invoke promote BUNDLE --to {name} makes one"
        hint = makes if path.exists() or not known else nearest(name, known)
        raise UserError(f"{name} has no history: there is no record in {path}", hint)
    flaws = flaws_in(store, path, name, records)
    notes = [] if flaws else [each.what for each in verify_tags(name, records, store)]
    return history_of(name, records, flaws, notes)


def verdict_in(store: Store, digest: str) -> Verdict | None:
    """A verdict of the store; None where it is not there, or cannot be read: `verify` says why."""
    try:
        return read_verdict(store, digest) if digest else None
    except UserError:
        return None


def _lines(told: History, store: Store, now: datetime) -> Iterator[str]:
    yield f"channel {told.channel}: {told.summary}"
    yield from (f"CANNOT BE TRUSTED: {flaw.what}" for flaw in told.flaws)
    yield from (f"note: {each}" for each in told.notes)
    if told.now:
        yield from _current(told, told.now, store, now)
    for entry in reversed(told.entries):
        yield ""
        yield from _entry_lines(entry, now)


def _current(told: History, entry: Entry, store: Store, now: datetime) -> Iterator[str]:
    """What a user asks first: what is in it, since when, why, on what evidence."""
    record = entry.record
    yield (
        f"now: {_titled(entry)}, since {day(record.at)} UTC"
        f" ({lasted(record.at, '', now)}), by {record.who}"
    )
    yield f"  why: {record.reason or 'no reason was given'}"
    yield f"  evidence: {evidence(entry, verdict_in(store, record.verdict))}"
    if said := judged(record.judged):
        yield f"  {said}"
    measured, why_not = measured_in(store, record.bundle)
    yield from (f"  {_measured(each)}" for each in measured)
    if why_not:
        yield f"  its figures are not known here: {why_not}"
    yield from _override_lines(entry)
    if told.held_by:
        holder = told.held_by.record
        yield (
            f"  HELD by record {holder.sequence} of {holder.who}: nothing is promoted until "
            f"`invoke rollback {told.channel} --release`"
        )


def _titled(entry: Entry) -> str:
    name = entry.record.name
    return f"{name} ({entry.short})" if name else entry.short


def _measured(each: Measured) -> str:
    said = f"AP {_said(each.ap)}, AP50 {_said(each.ap50)}{_between(each.ap50)}"
    times = {"p50": each.p50, "p99": each.p99}
    known = [f"{name} {_said(figure, 1)} ms" for name, figure in times.items() if figure]
    said += f"; {', '.join(known)}" if known else ""
    if each.not_told:
        said += f" ({each.not_told})"
    return f"{each.subject}: {said}{f'; {each.grade}' if each.grade else ''}"


def _said(figure: Figure | None, digits: int = 3) -> str:
    return f"{figure.value:.{digits}f}" if figure else "-"


def _between(figure: Figure | None) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return ""
    return f" (95%: {decimals(figure.low)} to {decimals(figure.high)})"


def _entry_lines(entry: Entry, now: datetime) -> Iterator[str]:
    record = entry.record
    did = {RELEASE: "ended the hold of", ROLLBACK: "rolled back to"}.get(record.action, "promoted")
    what = "the channel" if record.action == RELEASE else _titled(entry)
    yield f"{record.sequence:>4}  {day(record.at)}  {did} {what}, {record.who}"
    if record.reason:
        yield f"      why: {record.reason}"
    yield from (f"      {sentence(each)}" for each in story(entry, now))
    yield from (f"    {each}" for each in _override_lines(entry))
    if record.run:
        yield f"      run: {record.run}"


def _override_lines(entry: Entry) -> Iterator[str]:
    for each in entry.overrides:
        why = each.because or "no reason was given"
        yield f"  OVERRIDDEN: {each.gate} was {each.outcome}, and {each.who} overrode it: {why}"


def _document(told: History, store: Store) -> dict[str, object]:
    """All that is known, for programs."""
    return {
        "channel": told.channel,
        "flaws": [{"sequence": each.sequence, "what": each.what} for each in told.flaws],
        "notes": list(told.notes),
        "now": _now(told.now, store) if told.now else None,
        "held_by": told.held_by.record.sequence if told.held_by else None,
        "records": [_record(each) for each in told.entries],
    }


def _now(entry: Entry, store: Store) -> dict[str, object]:
    verdict = verdict_in(store, entry.record.verdict)
    measured, why_not = measured_in(store, entry.record.bundle)
    return {
        **_record(entry),
        "outcome": verdict.outcome if verdict else None,
        "gates": _built(verdict.gates) if verdict else None,
        "figures": _built(measured),
        "why_no_figures": why_not or None,
    }


def _record(entry: Entry) -> dict[str, object]:
    """A record as its file has it, with what became of it; its fields are always all there."""
    return {
        **_UNSAID,
        **msgspec.to_builtins(entry.record),
        "until": entry.until or None,
        "undone_by": entry.undone_by,
        "ended_hold": entry.ended_hold,
        "hold_ended_by": entry.hold_ended_by,
        "effective_overrides": _built(entry.overrides),
    }


_UNSAID = {each.encode_name: each.default for each in msgspec.structs.fields(Record)}
"""What fields say that a record leaves out; those that it must have are in it."""


def _built(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [msgspec.to_builtins(each) for each in value]
    return msgspec.to_builtins(value)
