"""Pinning base images: the tags in ``images.toml`` resolved to digests, in ``images.lock``."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from mmdet_jetson.config.images import Pin, load_images, write_pins
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import ConnectionLost, DockerHostError


def pin_bases(images_file: Path, host: DockerHost) -> Mapping[str, Pin]:
    """Resolve every base of ``images.toml`` and write the lock file beside it; return the pins.

    Pins of references that no image names any more are dropped. Nothing is written unless all of
    them could be resolved.

    Raises:
        DockerHostError: a registry cannot be reached, or has no such tag.
    """
    images = load_images(images_file)
    pins = {each: _resolve(each, images.pins.get(each), host) for each in images.references()}
    write_pins(images_file, pins)
    return pins


def _resolve(reference: str, known: Pin | None, host: DockerHost) -> Pin:
    try:
        digest = host.registry_digest(reference)
    except ConnectionLost:
        raise
    except DockerHostError as error:
        raise DockerHostError(
            error.message,
            "check the tag in configs/images.toml, that the Docker host reaches the registry, and"
            " `docker login` on this machine where that asks for a password",
        ) from error
    if known and known.digest == digest:
        return known
    return Pin(digest, datetime.now(timezone.utc).date().isoformat())
