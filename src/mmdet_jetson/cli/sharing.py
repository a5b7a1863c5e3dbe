"""The registry that a command's results come from and go to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdet_jetson import stopping
from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.registry import places
from mmdet_jetson.registry.shared import SharedStore
from mmdet_jetson.store import Descriptor, Store


@contextmanager
def open_shared(
    project: Project, settings: Settings, store: Store, display: Display, *, push: bool
) -> Iterator[SharedStore | None]:
    """Open the registry of the configuration, if it names one; nothing is asked of it yet.

    Raises:
        UserError: it is not the name of a registry; or ``push`` is asked for and there is none, or
            no connection may be opened. At the end, that not all could be pushed.
    """
    where = registry_of(project)
    if where is None:
        if push:
            raise UserError(
                "--push: no registry is configured to push to",
                f"registry = ... in [store] of {project.path}, or "
                "--set store.registry=docker://HOST/REPOSITORY",
            )
        yield None
        return
    if settings.offline:
        if push:
            raise UserError(
                f"--push: MMDET_JETSON_OFFLINE is 1, so nothing can go to {where}",
                "unset it, or leave out --push: results can be pushed later",
            )
        display.say(f"warning: {where} is not asked: MMDET_JETSON_OFFLINE is 1")
        yield None
        return
    options = options_of(project, settings)
    with places.open_place(where, settings, writing=True, options=options) as place:
        shared = SharedStore(place, store, display.say, lambda what: _Watch(display, what))
        yield shared
        shared.require_pushed()


def registry_of(project: Project) -> places.Where | None:
    """The registry that a configuration names.

    Raises:
        UserError: it is not the name of a registry, or of one thing in it.
    """
    named = project.pipeline.store.registry
    where = places.parse(named) if named else None
    if where and where.name:
        raise ConfigError(
            f"{project.path}: store.registry: {named!r} names one thing in a repository", str(where)
        )
    return where


def options_of(project: Project, settings: Settings) -> places.Options:
    """How a configuration has registries reached; its paths begin at the project's root."""
    told = project.pipeline.store
    ca = str(settings.root / Path(told.ca).expanduser()) if told.ca else ""
    return places.Options(ca, told.plain_http)


class _Watch:
    """Shows one transfer of several blobs at once as a whole."""

    def __init__(self, display: Display, what: str) -> None:
        self._display, self._what = display, what
        self._done = self._total = 0
        self._stopping = stopping.current()  # the step's: blobs are moved by threads of their own
        self._guard = threading.Lock()

    def planned(self, blobs: int, size: int) -> None:
        """Show that it begins, and how much there is to move."""
        self._total = size
        self._display.transfer(self._what)

    def begun(self, blob: Descriptor, there: int) -> None:
        """Count what an earlier transfer brought."""
        self._add(there)

    def moved(self, blob: Descriptor, size: int) -> None:
        """Count what has gone over."""
        self._add(size)

    def ended(self, blob: Descriptor) -> None:
        """Nothing to show of a single blob."""

    def _add(self, size: int) -> None:
        self._stopping.check()
        with self._guard:
            self._done += size
            self._display.bytes_moved(self._what, self._done, self._total)
