"""``invoke channels``: what is in each channel, since when, by whom, and how it fares."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import partial

import msgspec
from rich.console import Console

from mmdet_jetson.bundles.overview import age
from mmdet_jetson.cli.drifting import drift_of, mirror_drift
from mmdet_jetson.cli.part_lines import cut, decimals, printable
from mmdet_jetson.cli.request import config_file
from mmdet_jetson.cli.transfer import Asked
from mmdet_jetson.cli.verifying import read_channels
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.errors import GateFailed, NotProven, UserError
from mmdet_jetson.promotion.channel_file import channel_names, channel_path, is_channel_name
from mmdet_jetson.promotion.channel_tags import left_of, told
from mmdet_jetson.promotion.drift import Drift
from mmdet_jetson.promotion.policy import POLICY_FILE, channels_in
from mmdet_jetson.promotion.records import PROMOTE
from mmdet_jetson.promotion.standing import PERCENTILES, Standing, standing_of
from mmdet_jetson.promotion.verifying import Finding, shelf_of
from mmdet_jetson.registry.names import channel_tag
from mmdet_jetson.store import Store

_say = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)


def channels(asked: Asked, mirror: str | bool, *, check: bool, as_json: bool) -> None:
    """Tell of every channel that has a file or a policy; with ``check``, what has drifted.

    With a ``mirror`` and no check, that alone is compared.

    Raises:
        UserError: the chain of one does not hold.
        GateFailed: something has drifted.
        NotProven: whether something has cannot be told.
    """
    settings = read_settings()
    store = Store(settings.artifacts)
    names, policed = channel_names(settings), _with_policy(settings, asked)
    asked_for = [*names, *(each for each in policed if each not in names)]
    asked_for += [each for each in left_of(store, asked_for) if is_channel_name(each)]
    found, sound = read_channels(settings, store, asked_for)
    flaws = [each for each in found if each.is_problem]
    shelf = shelf_of(store)
    standings = [standing_of(name, records, shelf) for name, records in sound.items()]
    look = drift_of if check else mirror_drift
    drift = list(look(settings, asked, mirror, standings)) if check or mirror else []
    if as_json:
        _print_json(settings, standings, flaws, drift if check or mirror else None)
    else:
        _print(standings, found, drift, checked=check)
    _answer(flaws, drift)


def _with_policy(settings: Settings, asked: Asked) -> list[str]:
    return channels_in(config_file(asked.config, settings.root).parent / POLICY_FILE)


def _answer(flaws: Sequence[Finding], drift: Sequence[Drift]) -> None:
    """End with the code that a scheduled job goes by."""
    if flaws:
        raise UserError(f"channel {flaws[0].channel} is no history any more", "invoke verify")
    if sure := [each for each in drift if each.is_sure]:
        others = f", and {len(sure) - 1} more" if len(sure) > 1 else ""
        raise GateFailed(f"{sure[0].about} has drifted{others}", sure[0].mend)
    if drift:
        raise NotProven(f"whether {drift[0].about} has drifted cannot be told", drift[0].mend)


def _print(
    standings: Sequence[Standing],
    found: Sequence[Finding],
    drift: Sequence[Drift],
    *,
    checked: bool,
) -> None:
    for each in found:
        _say(printable(f"{each.channel}: {each.what}"))
        _say(printable(f"  try: {each.mend}"))
    for standing in standings:
        for line in _lines(standing):
            _say(printable(line))
    if not standings and not found:
        _say("there is no channel yet: `invoke promote BUNDLE --to staging` begins one")
    for drifted in drift:
        word = "drift" if drifted.is_sure else "not known"
        _say(printable(f"{word}: {drifted.about}: {drifted.what}"))
    if checked and not drift and not any(each.is_problem for each in found):
        _say("nothing has drifted")


def _lines(standing: Standing) -> Iterator[str]:
    """A channel in lines: what, since when and by whom, on what evidence."""
    entered = standing.entered
    if entered is None:
        yield f"{standing.channel}: nothing has been promoted yet"
        return
    digest = entered.bundle[7:19]
    named = f"{entered.name} ({digest})" if entered.name else digest
    since = age(entered.at, datetime.now(timezone.utc))
    yield f"{standing.channel}: {named}, since {entered.at[:16].replace('T', ' ')} ({since})"
    did = "promoted" if entered.action == PROMOTE else f"rolled back to record {entered.restores}"
    count = f"record {entered.sequence} of {len(standing.records)}"
    yield cut(f"  {count}, {did} by {entered.who}")
    if entered.reason:
        yield cut(f"  why: {entered.reason}")
    if entered.run:
        yield f"  {entered.run}"
    if standing.held_by:
        yield f"  held by {told(standing.held_by)}"
    yield f"  verdict: {standing.outcome or 'not here'}" + _overridden(standing)
    for each in standing.overrides:
        yield f"  overridden: {each.gate} ({each.outcome}) by {each.who}: {each.because}"
    yield from _figures(standing)
    if standing.why_not:
        yield f"  cannot be read: {standing.why_not}"
    elif standing.contents is None:
        yield f"  its bundle is not here: invoke pull {channel_tag(standing.channel)}"


def _overridden(standing: Standing) -> str:
    count = len(standing.overrides)
    if not count:
        return ""
    return ", 1 gate was overridden" if count == 1 else f", {count} gates were overridden"


def _figures(standing: Standing) -> Iterator[str]:
    width = max(map(len, standing.figures), default=0)
    for subject, found in standing.figures.items():
        times = [(name, getattr(found, name)) for name in PERCENTILES]
        times_ = [f"   {name} {time:.1f} ms" for name, time in times if time is not None]
        # The highest that its samples carry is what a budget is about.
        yield f"  {subject:{width}}   AP {decimals(found.ap)}{''.join(times_[-1:])}"


def _print_json(
    settings: Settings,
    standings: Sequence[Standing],
    flaws: Sequence[Finding],
    drift: Sequence[Drift] | None,
) -> None:
    content = {
        "channels": [_json(settings, each) for each in standings],
        "flaws": [
            {"channel": each.channel, "sentence": each.what, "hint": each.mend} for each in flaws
        ],
        "drift": None
        if drift is None
        else [
            {"about": e.about, "sentence": e.what, "hint": e.mend, "is_sure": e.is_sure}
            for e in drift
        ],
    }
    Console(emoji=False).out(json.dumps(content, indent=1), highlight=False)


def _json(settings: Settings, standing: Standing) -> dict[str, object]:
    entered, held_by = standing.entered, standing.held_by
    return {
        "channel": standing.channel,
        "file": str(channel_path(settings, standing.channel)),
        "records": len(standing.records),
        "bundle": entered.bundle if entered else None,
        "name": entered.name if entered else "",
        "since": entered.at if entered else None,
        "who": entered.who if entered else "",
        "record": msgspec.to_builtins(entered) if entered else None,
        "held_by": msgspec.to_builtins(held_by) if held_by else None,
        "verdict": standing.outcome or None,
        "overrides": [msgspec.to_builtins(each) for each in standing.overrides],
        "figures": {
            subject: {"AP": each.ap, **{name: getattr(each, name) for name in PERCENTILES}}
            for subject, each in standing.figures.items()
        },
        "is_here": standing.contents is not None,
        "why_not": standing.why_not,
    }
