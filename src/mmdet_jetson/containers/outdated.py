"""Images of this project on a Docker host that nothing needs any more.

An image's tag is a digest of all that it is made of, so each change of a source leaves an image
behind. The untagged images of a build's `builder` stage are the cache of the next one, and stay.
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
# Stand-ins have names for tags. Podman adds the registry that it takes an image to be from.
OURS = re.compile(r"(?:docker\.io/|localhost/)?(mmdet-jetson/[a-z0-9_-]+:[0-9a-f]{16})")


def outdated(host: DockerHost, settings: Settings, days: float = DAYS_KEPT) -> list[str]:
    """References of the project's images that are not current and older than ``days``.

    Current is what the sources of this clone make now, on real bases and on stand-ins. Other clones
    on the same Docker host have images of the same names: the days keep those that are in use, and
    whoever misses an older one builds it again.
    """
    current = set(_current_tags(host, settings))
    oldest = time.time() - days * 86400
    images = host.list_images()
    references = {reference for each in images for reference in _old_references(each, oldest)}
    return sorted(references - current)


def remove(host: DockerHost, references: list[str]) -> int:
    """Remove images, but for those that a container or another image needs; return how many."""
    return sum(_try_to_remove(host, reference) for reference in references)


def _current_tags(host: DockerHost, settings: Settings) -> Iterator[str]:
    bases: tuple[Bases, ...] = ("registry", "stand-in")
    for each in bases:
        chosen = msgspec.structs.replace(settings, bases=each)
        for name in images_of(settings).images:
            try:
                planned = decide(host, name, chosen)
            except NoStandIn:
                continue
            yield from (planned.tag, planned.test_tag)


def _old_references(image: ImageSummary, oldest: float) -> Iterator[str]:
    if image.created > oldest:
        return
    if not image.tags and f"{LABEL}.lock" in image.labels:
        yield image.id
    for tag in image.tags:
        if match := OURS.fullmatch(tag):
            yield match[1]


def _try_to_remove(host: DockerHost, reference: str) -> bool:
    try:
        host.remove_image(reference)
    except ConnectionLost:
        raise
    except DockerHostError:
        return False
    return True
