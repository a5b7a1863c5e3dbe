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
    pins = {
        reference: _resolve(reference, f"{images_file}: {keys}", images.pins.get(reference), host)
        for reference, keys in images.references().items()
    }
    write_pins(images_file, pins)
    return pins


def _resolve(reference: str, place: str, known: Pin | None, host: DockerHost) -> Pin:
    """Look a reference's digest up; ``place`` is where it is named."""
    try:
        digest = host.registry_digest(reference)
    except ConnectionLost:
        raise
    except DockerHostError as error:
        raise DockerHostError(
            f"{place}: {error.message}",
            "check the tag, that the Docker host reaches the registry, and `docker login` on this"
            " machine where that asks for a password",
        ) from error
    if known and known.digest == digest:
        return known
    return Pin(digest, datetime.now(timezone.utc).date().isoformat())
