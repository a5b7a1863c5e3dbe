"""``invoke verify``: the store, the channels, and a mirror where one is named."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.request import config_file
from mmdet_jetson.cli.transfer import Asked, place_of
from mmdet_jetson.cli.upkeep import existing_store
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors
from mmdet_jetson.locks import hold_folder
from mmdet_jetson.promotion import verifying
from mmdet_jetson.promotion.channel_file import (
    channel_names,
    channel_path,
    is_channel_name,
    read_channel,
)
from mmdet_jetson.promotion.channel_tags import is_given_up, left_of, settle, tags_in
from mmdet_jetson.promotion.policy import POLICY_FILE, channels_in
from mmdet_jetson.promotion.promoting import changing
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.promotion.verifying import Finding
from mmdet_jetson.registry.places import Options, Where, open_place
from mmdet_jetson.store import Store

Channels = dict[str, tuple[Record, ...]]
_say = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)


def verify(asked: Asked, mirror: str | bool, *, mend: bool) -> None:
    """Read everything in the store again, follow the channels, and compare them with a mirror.

    ``mirror`` is a place, or True for the registry of the configuration.

    Raises:
        UserError: something is wrong; all of it has been said.
    """
    settings = read_settings()
    names = channel_names(settings)
    config = config_file(asked.config, settings.root)
    if mirror and not names:
        hint = "leave --mirror out, or `git pull`"
        raise UserError("there is no channel here to compare a mirror with", hint)
    store = existing_store() if not names else Store(settings.artifacts)
    told, problems = (
        _store(store, mend=mend) if store.exists() else (f"no store at {store.root}", 0)
    )
    if mend:
        _give_up(settings, store, left_of(store, names))
    found, sound = read_channels(settings, store, all_channels(settings, store, config))
    _tell(found)
    sound = {name: records for name, records in sound.items() if name in names}
    if mend and store.exists():
        _settle(settings, store, sound)
    shelf = verifying.shelf_of(store)
    for name, records in sound.items():
        found += _tell(verifying.verify_store(name, records, shelf))
    if mirror:
        found += _mirror(settings, asked, mirror, sound)
    problems += sum(each.is_problem for each in found)
    if problems:
        hint = "run again: what was damaged is removed" if mend else "invoke verify --mend"
        count = "1 problem" if problems == 1 else f"{problems} problems"
        first = next((each.mend for each in found if each.is_problem and each.mend), hint)
        raise UserError(f"{count} in {_summed(told, names)}", first)
    _say(f"clean: {_summed(told, names)}")


def _summed(told: str, names: Sequence[str]) -> str:
    channels = "1 channel" if len(names) == 1 else f"{len(names)} channels"
    return f"{told}, {channels}" if names else told


def _store(store: Store, *, mend: bool) -> tuple[str, int]:
    """Read the store; say what is wrong with it, and give how large it is and how much is wrong."""
    with Console(stderr=True).status("reading the store") as status:
        found = store.verify(
            lambda done, total: status.update(f"read {done / 1e6:.0f} of {total / 1e6:.0f} MB"),
            mend=mend,
        )
    for problem in found.problems:
        _say(f"{problem.where}: {problem.what}")
    return f"{found.blobs} blobs, {found.size / 1e6:.1f} MB", len(found.problems)


def read_channels(
    settings: Settings, store: Store, names: Sequence[str]
) -> tuple[list[Finding], Channels]:
    """Read channels: what is wrong with them, and the records of those whose chain holds."""
    found: list[Finding] = []
    sound: Channels = {}
    for name in names:
        path = channel_path(settings, name)
        flaws = list(_chain(store, name, path, sound))
        found += flaws
        if flaws:  # those that have no file but tags are told of by that
            sound.pop(name, None)
    return found, sound


def all_channels(settings: Settings, store: Store, config: Path) -> list[str]:
    """The channels that have a file, and those of which a store or a policy tells."""
    names = channel_names(settings)
    told = {*left_of(store, names), *_with_policy(config)} - set(names)
    return [*names, *sorted(each for each in told if is_channel_name(each))]


def _with_policy(config: Path) -> list[str]:
    try:
        return channels_in(config.parent / POLICY_FILE)
    except UserError:  # which is for commands that judge by it
        return []


def _chain(store: Store, name: str, path: Path, into: Channels) -> Iterator[Finding]:
    try:
        into[name] = read_channel(path)
        found = list(verifying.verify_chain(store, name, into[name], path))
        if not found and not path.exists():
            found = list(verifying.verify_left(store, name, path))
        yield from found
    except UserError as error:
        yield Finding(name, error.message, error.hint)


def _settle(settings: Settings, store: Store, channels: Channels) -> None:
    """Let the store's tags follow the files."""
    for name, records in channels.items():
        before = tags_in(store, name)
        with changing(settings, store, name, records):  # which sets them, under the lock
            pass
        if tags_in(store, name) != before:
            _say(f"channel {name}: the store's tags name what its records do")


def _give_up(settings: Settings, store: Store, channels: Sequence[str]) -> None:
    """Take away the tags of channels that are gone; a bundle keeps the tag of its digest."""
    for name in filter(is_channel_name, channels):
        path = channel_path(settings, name)
        try:
            if not is_given_up(path):
                continue
        except UserError:  # which is told of with the channel
            continue
        with disk_errors(path), hold_folder(path.parent):
            if not path.exists():
                settle(store, name, ())
        _say(f"channel {name}: there is no {path}, and its tags are gone")


def mirror_of(settings: Settings, asked: Asked, mirror: str | bool) -> tuple[Where, Options]:
    """The mirror that is named, or, by True, the registry of the configuration.

    Raises:
        ConfigError: there is none in the configuration, or it is not the name of one.
        UserError: it names one thing in a place.
    """
    named = replace(asked, place=mirror if isinstance(mirror, str) else "")
    where, options = place_of(named, settings, "--mirror")
    if where.name:
        raise UserError(f"--mirror {where}:{where.name} names one thing in it", f"--mirror {where}")
    return where, options


def _mirror(
    settings: Settings, asked: Asked, mirror: str | bool, channels: Channels
) -> list[Finding]:
    where, options = mirror_of(settings, asked, mirror)
    with open_place(where, settings, writing=False, options=options) as place:
        return [
            each
            for name, records in channels.items()
            for each in _tell(verifying.verify_mirror(name, records, place))
        ]


def _tell(found: Iterator[Finding] | Sequence[Finding]) -> list[Finding]:
    """Say what was found, as soon as it is."""
    said = []
    for each in found:
        note = "" if each.is_problem else "note: "
        _say(printable(f"{note}channel {each.channel}: {each.what}"))
        if each.mend:
            _say(printable(f"  try: {each.mend}"))
        said.append(each)
    return said
