"""`invoke push` and `invoke pull`: between the store and other places."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mmdet_jetson.cli import mirroring
from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.request import CONFIG, config_file
from mmdet_jetson.cli.sharing import options_of, registry_of
from mmdet_jetson.cli.upkeep import existing_store
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.registry import places
from mmdet_jetson.registry.moving import Moved
from mmdet_jetson.registry.places import Options, Where, open_place
from mmdet_jetson.registry.pull import pull as pull_
from mmdet_jetson.registry.push import push as push_
from mmdet_jetson.registry.reference import is_digest
from mmdet_jetson.store import Descriptor, Store, oci

SHOWN = 1 << 20
"""Bytes; a blob that is smaller has no bar of its own, it would only flicker."""


@dataclass(frozen=True)
class Asked:
    """What a transfer was asked for, beside the name."""

    place: str = ""
    evidence: bool = True
    config: str = CONFIG
    overrides: Sequence[str] = ()
    ca: str = ""
    plain_http: bool = False


def push(name: str, asked: Asked) -> None:
    """Bring what has a name in the store, or a channel, to a place, and say where it is."""
    settings = read_settings()
    channel = mirroring.channel_named(settings, name)
    # A fresh clone has no store, and a channel may be in its place with all that it needs.
    store = Store(settings.artifacts) if channel else existing_store()
    where, options = place_of(asked, settings, "--to")
    if is_digest(where.name):
        message = f"{where} is named with a digest, and what is pushed has its own"
        raise ConfigError(message, f"--to {where}, or --to {where}:TAG")
    if channel:
        mirroring.check_whole(name, where.name, evidence=asked.evidence)
    else:
        mirroring.check_tag(settings, store, name, where.name)
    with open_place(where, settings, writing=True, options=options) as place, Bars() as bars:
        if channel:
            mirroring.push(settings, store, channel, place, bars)
            return
        moved = push_(store, [name], place, evidence=asked.evidence, watch=bars, tag=where.name)
    _tell("pushed", name, moved, "sent", f"to {where}")


def pull(name: str, asked: Asked) -> None:
    """Bring what has a name in a place into the store, and say what it is."""
    settings = read_settings()
    if places.is_place(name) and asked.place:
        raise ConfigError(f"{name} names a place, and so does --from", "leave --from out")
    if places.is_place(name):
        where, options = place_of(replace(asked, place=name), settings, "--from")
        if not where.name:
            raise ConfigError(f"{where} does not say what to pull", f"{where}:TAG")
        name = where.name
    else:
        where, options = place_of(asked, settings, "--from")
        if where.name:
            hint = f"`invoke pull {where}:{where.name}`, or --from {where}"
            raise ConfigError(f"{name} and {where.name} both say what to pull", hint)
    store = Store(settings.artifacts)
    with open_place(where, settings, writing=False, options=options) as place, Bars() as bars:
        moved = pull_(place, [name], store, evidence=asked.evidence, watch=bars)
    _tell("pulled", name, moved, "read", f"from {where}")


def place_of(asked: Asked, settings: Settings, option: str) -> tuple[Where, Options]:
    """Say which place is meant, the one that is named or the configuration's, and how to reach it.

    Raises:
        ConfigError: none is named, or the configuration is wrong.
    """
    where = places.parse(asked.place) if asked.place else None
    if where and not where.is_registry:
        return where, Options()
    project = load_project(config_file(asked.config, settings.root), asked.overrides)
    where = where or registry_of(project)
    if where is None:
        hint = f"{option} PLACE: {places.FORMS}; or registry = ... in [store] of {project.path}"
        raise ConfigError("no place is named", hint)
    told = options_of(project, settings)
    return where, Options(asked.ca or told.ca, asked.plain_http or told.plain_http)


def _tell(did: str, name: str, moved: Moved, went: str, where: str) -> None:
    say = Console().print
    for each in moved.named:
        line = (
            f"{each.kind} {each.tag}: {each.digest}" if each.tag else f"{each.kind} {each.digest}"
        )
        if each.before:
            line += f"\n  {each.tag} named {each.before} here before"
        say(line, highlight=False, markup=False, soft_wrap=True)
    manifests = "1 manifest" if moved.manifests == 1 else f"{moved.manifests} manifests"
    rest = ", the rest was there" if moved.blobs_sent < moved.blobs else ""
    say(
        f"{did} {name}: {manifests}, {moved.blobs_sent} of {moved.blobs} blobs "
        f"({moved.sent / 1e6:.1f} MB of {moved.size / 1e6:.1f} MB {went}{rest}) {where}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


class Bars:
    """Shows at a terminal how far a transfer is: all of it, and the large blobs under way."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._guard = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._all: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description:<32.32}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )

    def __enter__(self) -> "Bars":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:  # else it prints an empty line
            self._bar.stop()

    def planned(self, blobs: int, size: int) -> None:
        """Show how much there is to move."""
        self._all = self._bar.add_task(f"{blobs} blobs", total=size)

    def begun(self, blob: Descriptor, there: int) -> None:
        """Show a blob of its own, if it is large."""
        if self._all is not None:
            self._bar.advance(self._all, there)
        if blob.size >= SHOWN:
            title = (blob.annotations or {}).get(oci.TITLE, blob.digest[7:19])
            with self._guard:
                self._tasks[blob.digest] = self._bar.add_task(
                    f"  {printable(title)}", total=blob.size, completed=there
                )

    def moved(self, blob: Descriptor, size: int) -> None:
        """Advance."""
        for task in (self._all, self._tasks.get(blob.digest)):
            if task is not None:
                self._bar.advance(task, size)

    def ended(self, blob: Descriptor) -> None:
        """Take the blob's own bar away."""
        with self._guard:
            task = self._tasks.pop(blob.digest, None)
        if task is not None:
            self._bar.remove_task(task)
