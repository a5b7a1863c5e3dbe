"""Building images on an engine: its base first, then what goes on top."""

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
from mmdet_jetson.environments.commit import git_commit
from mmdet_jetson.environments.packages import pins, wheel_folder
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.fetching.sources import fetch

Say = Callable[[str], None]
# Where no name is given: what trains, what `make demo` is for, and the documented device.
USUAL = ("train", "pc", "jp501")


def images_of(settings: Settings) -> Images:
    """The project's ``images.toml``."""
    return load_images(settings.root / "configs/images.toml")


def find(engine: DockerHost, name: str, settings: Settings) -> Image | None:
    """The image as its sources are now; ``None`` if the engine does not have it.

    Raises:
        ConfigError: there is no image of that name.
    """
    try:
        return engine.find_image(decide(engine, name, settings).tag)
    except NoStandIn:
        return None


def decide(engine: DockerHost, name: str, settings: Settings) -> ImageBuild:
    """Decide how an image is built on this engine.

    Raises:
        ConfigError: there is no image of that name.
        NoStandIn: its base is to be a stand-in, and the engine does not have that.
    """
    images = images_of(settings)
    base_id = ""
    if settings.bases == "stand-in":
        stand_in = images.image(name).stand_in
        base = engine.find_image(StandIn.reference(stand_in))
        if base is None:
            raise NoStandIn(
                f"the engine at {engine.address} has no stand-in base {stand_in!r}",
                f"docker/make-stand-in {stand_in}",
            )
        base_id = base.id
    return image_build(name, images, settings, base_id)


class NoStandIn(DockerHostError):
    """The stand-in base that the settings ask for was not made on the engine."""


def build(
    engine: DockerHost, made: ImageBuild, settings: Settings, say: Say, *, tests: bool = False
) -> Image:
    """Return the image, or with ``tests`` the one with its suite on top; built if it is missing.

    Raises:
        DockerHostError: a base cannot be had, or an instruction of the Dockerfile failed.
    """
    tag, target = (made.test_tag, "test") if tests else (made.tag, "final")
    image = engine.find_image(tag)
    if image is not None:
        return image
    _need_bases(engine, made, say)
    say(f"building {tag}")
    return engine.build(
        made.context(_helpful(made, settings)),
        dockerfile=made.dockerfile,
        arguments=made.arguments,
        labels={} if tests else _labels(made),
        platform=made.platform,
        target=target,
        tag=tag,
        on_line=say,
    )


def _need_bases(engine: DockerHost, made: ImageBuild, say: Say) -> None:
    """Pull real bases before the build does, so that a failure can be told apart and explained."""
    if made.is_stand_in:
        return
    for key in ("BASE_IMAGE", "BUILDER_IMAGE"):
        reference = made.arguments[key]
        if engine.find_image(reference) is None:
            say(f"pulling {reference}")
            try:
                engine.pull(reference, made.platform, say)
            except DockerHostError as error:
                raise DockerHostError(
                    f"image {made.name!r}: its base {reference} cannot be pulled: {error.message}",
                    "where no registry is reachable: docker/make-stand-in, and"
                    " MMDET_JETSON_BASES=stand-in",
                ) from error


def _helpful(made: ImageBuild, settings: Settings) -> dict[str, Path]:
    """What this machine has that spares the build work or lets it reach a registry."""
    helpful = {}
    if settings.certificates:
        if not settings.certificates.is_file():
            raise ConfigError(
                f"MMDET_JETSON_CERTIFICATES names {settings.certificates}, which is not a file",
                "name a bundle in PEM format, or leave it out",
            )
        helpful[CERTIFICATES] = settings.certificates
    if made.dockerfile == "Dockerfile.train":
        helpful |= {f"wheels/{wheel.name}": wheel for wheel in _wheels(made, settings)}
    if made.arguments.get("PLUGIN_SM"):
        helpful["mmdeploy.tar.gz"] = _fetch("mmdeploy", settings)
    return helpful


def _fetch(name: str, settings: Settings) -> Path:
    """Fetch one of ``sources.toml``, by digest, from a mirror or from where it comes from."""
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


def _wheels(made: ImageBuild, settings: Settings) -> list[Path]:
    """Wheels of mmcv: this machine's own, else whatever a mirrored folder has."""
    lock = made.root / made.lock
    python = made.arguments["PYTHON"].removeprefix("python")
    own = sorted(wheel_folder(lock, "mmcv", python, settings).glob("*.whl"))
    version = pins(lock)["mmcv"]
    tag = f"cp{python.replace('.', '')}"
    folders = [Path(mirror) for mirror in settings.mirrors if "://" not in mirror]
    return (
        own
        or [
            wheel
            for folder in folders
            for wheel in sorted(folder.glob(f"mmcv-{version}-{tag}-*.whl"))
        ][:1]
    )


def _labels(made: ImageBuild) -> dict[str, str]:
    """What the image says of itself; a stand-in's label it has from its base."""
    prefix = "org.opencontainers.image"
    versions = pins(made.root / made.lock)
    return {
        f"{prefix}.title": f"mmdet_jetson {made.name}",
        f"{prefix}.version": __version__,
        f"{prefix}.revision": git_commit(),
        f"{prefix}.licenses": "Apache-2.0",
        f"{prefix}.base.name": made.arguments["BASE_IMAGE"],
        "io.mmdet-jetson.lock": f"sha256:{made.lock_digest}",
        "io.mmdet-jetson.versions": ", ".join(f"{name} {each}" for name, each in versions.items()),
    }
