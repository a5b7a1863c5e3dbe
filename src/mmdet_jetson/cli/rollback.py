"""``invoke rollback``: what was in a channel before is back, and held; or a hold ends."""

import os
from collections.abc import Iterator
from functools import partial

import msgspec

from mmdet_jetson.cli.changing import (
    called,
    push_of,
    records_of,
    say,
    say_json,
    tell_next,
    wait_for,
)
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.request import CONFIG, config_file
from mmdet_jetson.cli.upkeep import existing_store
from mmdet_jetson.config.pipeline import Project, load_project
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.promotion import rolling_back
from mmdet_jetson.promotion.channel_file import channel_names, channel_path
from mmdet_jetson.promotion.channel_tags import told
from mmdet_jetson.promotion.identity import identity
from mmdet_jetson.promotion.records import RELEASE, Record


def change_back(
    channel: str, *, to: str = "", release: bool = False, reason: str = "", as_json: bool = False
) -> None:
    """Put back what was in a channel before, or what a record had, and hold it; or end the hold.

    Raises:
        UserError: nothing can be put back, or nothing holds it; says why.
    """
    if release and to:
        raise ConfigError("--release ends a hold, and --to would begin one", "leave one out")
    settings = read_settings()
    path, number = channel_path(settings, channel), _number(to) if to else None
    if not path.exists():
        raise UserError(f"there is no channel {channel!r}", _known(settings, channel))
    store = existing_store()
    who, records = identity(os.environ, settings.root), records_of(settings, store, channel)
    change = rolling_back.release if release else partial(rolling_back.rollback, to=number)
    made = change(
        settings, store, channel, records, who, reason=reason, on_wait=partial(wait_for, channel)
    )
    if as_json:
        say_json({"channel": channel, "record": msgspec.to_builtins(made)})
        return
    say(printable(f"{channel} is {called(made)} now: {told(made)}"))
    for line in _consequences(channel, made):
        say(f"  {line}")
    verb = "Release" if release else "Roll back"
    tell_next(path, push_of(channel, _usual(settings)), f"{verb} {channel}: {called(made)}")


def _consequences(channel: str, made: Record) -> Iterator[str]:
    if made.action == RELEASE:
        yield "promotions may go on"
        return
    first, last = made.undoes[0], made.undoes[-1]
    undone = f"{first} to {last}" if last > first else f"{first}"
    yield f"as record {made.restores} had it; taken back: {undone}"
    yield "it is held: nothing is promoted to it until"
    yield f'  invoke rollback {channel} --release --reason "..."'


def _known(settings: Settings, channel: str) -> str:
    known = channel_names(settings)
    return nearest(channel, known) if known else "invoke promote BUNDLE --to CHANNEL begins one"


def _usual(settings: Settings) -> Project | None:
    """The project that commands are about where no other is named; None where it cannot be read."""
    try:
        return load_project(config_file(CONFIG, settings.root))
    except UserError:
        return None


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"--to {text}: not the number of a record", "as 15: invoke history tells")
    return int(text)
