"""What the commands that change a channel share: its records before, and what is to do behind."""

import json
import shlex
from functools import partial
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.sharing import registry_of
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.channel_file import channel_path, read_channel
from mmdet_jetson.promotion.channel_tags import overtaken, refuse_flawed
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.registry.names import channel_tag
from mmdet_jetson.store import Store

say = partial(Console(emoji=False).print, highlight=False, markup=False, soft_wrap=True)
_warn = partial(
    Console(stderr=True, emoji=False).print, highlight=False, markup=False, soft_wrap=True
)


def records_of(settings: Settings, store: Store, channel: str) -> tuple[Record, ...]:
    """The records of a channel that is a chain, having said what came in the way of promotions."""
    path = channel_path(settings, channel)
    records = read_channel(path)
    refuse_flawed(store, path, channel, records)
    for sentence in overtaken(store, channel, records):
        _warn(printable(f"note: {sentence}"))
    return records


def called(record: Record) -> str:
    """What a bundle of a channel is called."""
    return record.name or record.bundle[7:19]


def push_of(channel: str, project: Project | None) -> str:
    """The command that tells a registry: the configured one, else a place that has to be named."""
    tag = channel_tag(channel)
    try:
        known = project and registry_of(project)
    except UserError:
        known = None
    return project.command(f"push {tag}") if project and known else f"invoke push {tag} --to PLACE"


def tell_next(path: Path, push: str, message: str) -> None:
    """What makes it known to others: git, which tells whoever was not the first, and the mirror."""
    here = path.is_relative_to(Path.cwd())
    git = "git" if here else f"git -C {shlex.quote(str(path.parent))}"
    file = shlex.quote(str(path.relative_to(Path.cwd()) if here else path.name))
    said = shlex.quote(printable(message))
    say(f"next: {git} add {file} && {git} commit -m {said} && {git} push")
    say(f"      {push}")


def say_json(told: object) -> None:
    """Print what programs read."""
    Console(emoji=False).out(json.dumps(told, indent=1), highlight=False)


def wait_for(channel: str) -> None:
    """Say that another command has the lock."""
    _warn(f"another command changes a channel now; {channel} waits for it")
