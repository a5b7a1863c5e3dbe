"""Images of ours on an engine that nothing needs any more.

An image's tag is a digest of all that it is made of, so each change of a source leaves an image
behind. What a build leaves untagged of its `builder` stage is the cache of the next one, and stays.
"""

import re
import time
from collections.abc import Iterator

import msgspec

from mmdet_jetson.config.settings import Bases, Settings
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.images import NoStandIn, decide, images_of
from mmdet_jetson.containers.objects import LABEL, ConnectionLost, DockerHostError, ImageSummary

DAYS_KEPT = 1.0
# Stand-ins have names for tags. Podman writes out where it takes an image to be from.
OURS = re.compile(r"(?:docker\.io/|localhost/)?(mmdet-jetson/[a-z0-9_-]+:[0-9a-f]{16})")


def outdated(engine: DockerHost, settings: Settings, days: float = DAYS_KEPT) -> list[str]:
    """References of our images that are not current, and made more than ``days`` ago.

    Current is what the sources of this clone make now, on real bases and on stand-ins. Other clones
    on the same engine have images of the same names: the days keep what is being worked with, and
    whoever misses an older one builds it again.
    """
    current = set(_current(engine, settings))
    oldest = time.time() - days * 86400
    found = (reference for each in engine.list_images() for reference in _ours(each, oldest))
    return sorted(set(found) - current)


def remove(engine: DockerHost, references: list[str]) -> int:
    """Remove images, but for those that a container or another image needs; return how many."""
    return sum(_try_to_remove(engine, reference) for reference in references)


def _current(engine: DockerHost, settings: Settings) -> Iterator[str]:
    bases: tuple[Bases, ...] = ("registry", "stand-in")
    for each in bases:
        chosen = msgspec.structs.replace(settings, bases=each)
        for name in images_of(settings).images:
            try:
                made = decide(engine, name, chosen)
            except NoStandIn:
                continue
            yield from (made.tag, made.test_tag)


def _ours(image: ImageSummary, oldest: float) -> Iterator[str]:
    if image.created > oldest:
        return
    if not image.tags and f"{LABEL}.lock" in image.labels:
        yield image.id
    for tag in image.tags:
        if match := OURS.fullmatch(tag):
            yield match[1]


def _try_to_remove(engine: DockerHost, reference: str) -> bool:
    try:
        engine.remove_image(reference)
    except ConnectionLost:
        raise
    except DockerHostError:
        return False
    return True
