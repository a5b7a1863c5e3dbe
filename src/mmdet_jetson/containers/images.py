"""Building images on a Docker host: the base first, then what goes on top."""

from collections.abc import Callable
from pathlib import Path

from mmdet_jetson import __version__
from mmdet_jetson.config.images import Images, StandIn, load_images
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.sources import Sources
from mmdet_jetson.config.toml import convert, read_toml
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.image_build import CERTIFICATES, ImageBuild, image_build
from mmdet_jetson.containers.objects import DockerHostError, Image
from mmdet_jetson.containers.room import check_room
from mmdet_jetson.environments.commit import git_commit
from mmdet_jetson.environments.packages import pins, wheel_folder
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.fetching.locations import Location
from mmdet_jetson.fetching.sources import fetch

Say = Callable[[str], None]
# Where no name is given: what trains, what `make demo` is for, and the documented device.
DEFAULT = ("train", "pc", "jp501")


def images_of(settings: Settings) -> Images:
    """The project's ``images.toml``."""
    return load_images(settings.root / "configs/images.toml")


def find(host: DockerHost, name: str, settings: Settings) -> Image | None:
    """Find the image that the current sources make; ``None`` if the host does not have it.

    Raises:
        ConfigError: there is no image of that name.
    """
    try:
        return host.find_image(decide(host, name, settings).tag)
    except NoStandIn:
        return None


def decide(host: DockerHost, name: str, settings: Settings) -> ImageBuild:
    """Decide how an image is built on this host.

    Raises:
        ConfigError: there is no image of that name.
        NoStandIn: its base should be a stand-in, and the host does not have that.
    """
    images = images_of(settings)
    base_id = ""
    if settings.bases == "stand-in":
        stand_in = images.image(name).stand_in
        base = host.find_image(StandIn.reference(stand_in))
        if base is None:
            raise NoStandIn(
                f"the Docker host at {host.address} has no stand-in base {stand_in!r}",
                f"docker/make-stand-in {stand_in}",
            )
        base_id = base.id
    return image_build(name, images, settings, base_id)


class NoStandIn(DockerHostError):
    """The stand-in base that the settings ask for does not exist on the Docker host."""


def build(
    host: DockerHost, planned: ImageBuild, settings: Settings, say: Say, *, tests: bool = False
) -> Image:
    """Return the image, or with ``tests`` the one with its suite on top; built if it is missing.

    Raises:
        DockerHostError: a base cannot be had, or an instruction of the Dockerfile failed.
    """
    tag, target = (planned.test_tag, "test") if tests else (planned.tag, "final")
    image = host.find_image(tag)
    if image is not None:
        return image
    _pull_bases(host, planned, images_of(settings).image(planned.name).room_gb, say)
    say(f"building {tag}")
    return host.build(
        planned.context(_extra_files(planned, settings)),
        dockerfile=planned.dockerfile,
        arguments=planned.arguments,
        labels={} if tests else _labels(planned),
        platform=planned.platform,
        target=target,
        tag=tag,
        on_line=say,
    )


def _pull_bases(host: DockerHost, planned: ImageBuild, room_gb: int, say: Say) -> None:
    """Pull real bases before the build does, so that a failure can be told apart and explained."""
    if planned.is_stand_in:
        return
    bases = {key: planned.arguments[key] for key in ("BASE_IMAGE", "BUILDER_IMAGE")}
    missing = {key: base for key, base in bases.items() if host.find_image(base) is None}
    doubt = check_room(host, planned.name, room_gb) if missing else ""
    if doubt:
        say(doubt)
    for key, reference in missing.items():
        if host.find_image(reference) is None:  # the builder may be the base
            _pull(host, planned, key, say)


def _pull(host: DockerHost, planned: ImageBuild, key: str, say: Say) -> None:
    reference = planned.arguments[key]
    say(f"pulling {reference}")
    try:
        host.pull(reference, planned.platform, say)
    except DockerHostError as error:
        field = key.removesuffix("_IMAGE").lower()
        raise DockerHostError(
            f"configs/images.toml: images.{planned.name}.{field}: {reference} cannot be"
            f" pulled: {error.message}",
            "where no registry can be reached: docker/make-stand-in, and"
            " MMDET_JETSON_BASES=stand-in",
        ) from error


def _extra_files(planned: ImageBuild, settings: Settings) -> dict[str, Path]:
    """Files of this machine that save the build work, or let it trust a proxy."""
    extra = {}
    if settings.certificates:
        if not settings.certificates.is_file():
            raise ConfigError(
                f"MMDET_JETSON_CERTIFICATES names {settings.certificates}, which is not a file",
                "name a bundle in PEM format, or leave it out",
            )
        extra[CERTIFICATES] = settings.certificates
    if planned.dockerfile == "Dockerfile.train":
        extra |= {f"wheels/{wheel.name}": wheel for wheel in _wheels(planned, settings)}
    if planned.arguments.get("PLUGIN_SM"):
        extra["mmdeploy.tar.gz"] = _fetch("mmdeploy", settings)
    return extra


def _fetch(name: str, settings: Settings) -> Path:
    """Fetch a source of ``sources.toml``, by digest, from a mirror or its original address."""
    path = settings.root / "configs/sources.toml"
    sources = convert(read_toml(path), Sources, path)
    return fetch(
        name,
        sources.sources[name],
        downloads=settings.cache / "downloads",
        mirrors=(*settings.mirrors, *sources.mirrors),
        lock_file=path.with_name("sources.lock"),
        progress=lambda done, total: None,
        offline=settings.offline,
    )


def _wheels(planned: ImageBuild, settings: Settings) -> list[Path]:
    """Wheels of mmcv: the one that this machine compiled, else one of a mirrored folder."""
    lock = planned.root / planned.lock
    python = planned.arguments["PYTHON"].removeprefix("python")
    own = sorted(wheel_folder(lock, "mmcv", python, settings).glob("*.whl"))
    version = pins(lock)["mmcv"]
    tag = f"cp{python.replace('.', '')}"
    folders = [folder for mirror in settings.mirrors if (folder := Location(mirror).path)]
    return (
        own
        or [
            wheel
            for folder in folders
            for wheel in sorted(folder.glob(f"mmcv-{version}-{tag}-*.whl"))
        ][:1]
    )


def _labels(planned: ImageBuild) -> dict[str, str]:
    """What the image says of itself; the label of a stand-in comes from its base."""
    prefix = "org.opencontainers.image"
    versions = pins(planned.root / planned.lock)
    return {
        f"{prefix}.title": f"mmdet_jetson {planned.name}",
        f"{prefix}.version": __version__,
        f"{prefix}.revision": git_commit(),
        f"{prefix}.licenses": "Apache-2.0",
        f"{prefix}.base.name": planned.arguments["BASE_IMAGE"],
        "io.mmdet-jetson.lock": f"sha256:{planned.lock_digest}",
        "io.mmdet-jetson.versions": ", ".join(f"{name} {each}" for name, each in versions.items()),
    }
