"""The registry that a command's results come from and go to."""

import threading

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.registry.shared import SharedStore
from mmdet_jetson.store import Descriptor, Store


def open_shared(
    project: Project, settings: Settings, store: Store, display: Display, *, push: bool
) -> SharedStore | None:
    """Open the registry of the configuration, if it names one; nothing is asked of it yet.

    Raises:
        UserError: it is not the name of a registry; or ``push`` is asked for and there is none, or
            no connection may be opened.
    """
    told = project.pipeline.store
    if not told.registry:
        if push:
            raise UserError(
                "--push: no registry is configured to push to",
                f"registry = ... in [store] of {project.path}, or --set "
                "store.registry=docker://HOST/REPOSITORY",
            )
        return None
    from mmdet_jetson.registry.places import open_place  # noqa: PLC0415 - not where there is none

    place = open_place(told.registry, told, settings)
    if settings.offline:
        if push:
            raise UserError(
                f"--push: MMDET_JETSON_OFFLINE is 1, so nothing can go to {place.name}",
                "unset it, or leave out --push: results can be pushed later",
            )
        display.say(f"warning: {place.name} is not asked: MMDET_JETSON_OFFLINE is 1")
        return None
    return SharedStore(place, store, display.say, lambda what: _Watch(display, what))


class _Watch:
    """Shows one transfer of several blobs at once as a whole."""

    def __init__(self, display: Display, what: str) -> None:
        self._display, self._what = display, what
        self._done = self._total = 0
        self._guard = threading.Lock()

    def planned(self, blobs: int, size: int) -> None:
        """Remember how much there is to move."""
        self._total = size

    def begun(self, blob: Descriptor, there: int) -> None:
        """Count what an earlier transfer brought."""
        self._add(there)

    def moved(self, blob: Descriptor, size: int) -> None:
        """Count what has gone over."""
        self._add(size)

    def ended(self, blob: Descriptor) -> None:
        """Nothing to show of a single blob."""

    def _add(self, size: int) -> None:
        with self._guard:
            self._done += size
            self._display.bytes_moved(self._what, self._done, self._total)
