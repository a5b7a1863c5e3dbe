"""``invoke channels --check``: what is looked at, and the registries that are asked for it."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import partial

import msgspec
from rich.console import Console

from mmdet_jetson.cli.part_lines import printable
from mmdet_jetson.cli.request import Request, config_file
from mmdet_jetson.cli.sharing import registry_of
from mmdet_jetson.cli.transfer import Asked
from mmdet_jetson.cli.verifying import mirror_of
from mmdet_jetson.config.images import load_images
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.config.references import images_file
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.promotion.drift import Drift, aged, moved_bases, unasked
from mmdet_jetson.promotion.policy import POLICY_FILE, load_policy
from mmdet_jetson.promotion.standing import Standing
from mmdet_jetson.promotion.verifying import verify_mirror
from mmdet_jetson.registry import places
from mmdet_jetson.registry.places import Options, Where, open_place

_note = partial(
    Console(stderr=True, emoji=False).print, highlight=False, markup=False, soft_wrap=True
)


def drift_of(
    settings: Settings, asked: Asked, mirror: str | bool, standings: Sequence[Standing]
) -> Iterator[Drift]:
    """Look at the age of evidence, at the mirror that is named or configured, and at base images.

    Raises:
        ConfigError: the configuration is wrong.
    """
    project = load_project(config_file(asked.config, settings.root), asked.overrides)
    typed = Request(config=asked.config, overrides=asked.overrides).typed
    project = msgspec.structs.replace(project, typed=typed)
    now = datetime.now(timezone.utc)
    for standing in standings:
        try:
            policy = load_policy(project.folder / POLICY_FILE, standing.channel)
        except ConfigError as error:
            yield Drift(standing.channel, error.message, _elsewhere(error), is_sure=False)
        else:
            yield from aged(standing, policy, now, project)
    if settings.offline:
        _note("note: MMDET_JETSON_OFFLINE is 1, so no registry is asked")
    if _is_place(mirror) or (not settings.offline and (mirror or registry_of(project))):
        yield from mirror_drift(settings, asked, mirror, standings)
    if not settings.offline:
        images = load_images(images_file(settings.root))
        if not images.pins:
            _note("note: no base image is pinned, so none was looked at: invoke images.pin")
        yield from moved_bases(images, partial(_look, settings, Options(asked.ca)))


def _elsewhere(error: ConfigError) -> str:
    """What to do about a policy that is not found: each configuration has its own beside it."""
    other = "where its policy lies beside another pipeline's configuration: --config with that"
    return "; or, ".join(filter(None, (error.hint, other)))


def _is_place(mirror: str | bool) -> bool:
    return isinstance(mirror, str) and bool(mirror)


def mirror_drift(
    settings: Settings, asked: Asked, mirror: str | bool, standings: Sequence[Standing]
) -> Iterator[Drift]:
    """Look at the mirror that is named, or configured, alone.

    Raises:
        ConfigError: none is.
        UserError: it names one thing in a place.
    """
    where, options = mirror_of(settings, asked, mirror)
    yield from _mirror(settings, where, options, standings)


def _mirror(
    settings: Settings, where: Where, options: Options, standings: Sequence[Standing]
) -> Iterator[Drift]:
    """What the mirror tells that the files do not; one that is behind is no drift, and said."""
    try:
        with open_place(where, settings, writing=False, options=options) as place:
            for standing in standings:
                for each in verify_mirror(standing.channel, standing.records, place):
                    if each.is_problem:
                        yield Drift(each.channel, each.what, each.mend)
                    else:
                        _note(printable(f"note: channel {each.channel}: {each.what}: {each.mend}"))
    except UserError as error:
        yield Drift(str(where), unasked(error, "it cannot be asked"), error.hint, is_sure=False)


def _look(settings: Settings, options: Options, reference: str) -> str | None:
    """The digest that a base's tag names in its registry now."""
    where = places.parse(f"docker://{reference}")
    with open_place(where, settings, writing=False, options=options) as place:
        found = place.resolve(where.name)
    return found.digest if found else None
