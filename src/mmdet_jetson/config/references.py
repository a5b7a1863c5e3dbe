"""What a configuration's files name in other files: looked up before anything is planned."""

import os
from collections.abc import Mapping
from pathlib import Path

from mmdet_jetson.config.images import Image, load_images
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.errors import ConfigError

JETSON = "linux/arm64"


def images_file(root: Path) -> Path:
    """The one ``images.toml`` of the project at ``root``, wherever a pipeline's own file lies."""
    return root / "configs/images.toml"


def check_references(project: Project, root: Path, *, trains: bool = True) -> None:
    """Check the images of the targets that are built for, and the configs in Python.

    Those are of no use to a run that neither ``trains`` nor exports.

    Raises:
        ConfigError: one is not there; says which file, table and key names it.
    """
    _check_images(project, root)
    if not trains:
        return
    used = {BACKENDS[each.backend].deploy_config for each in project.used_targets.values()}
    named = {f"export.{each}": getattr(project.pipeline.export, each) for each in sorted(used)}
    for field, config in {**_config_of_model(project), **named}.items():
        if "://" in config:
            raise ConfigError(
                f"{project.path}: {field}: {config}: a config is a file, and not fetched",
                'download it with its bases and name it, or one that MMDetection has: "mmdet::..."'
                if field == "model.config"
                else "download it with its bases and name it",
            )
        # Without following links for "..", as MMEngine and `planning/config_files.py`.
        if not Path(os.path.normpath(root / config)).exists():
            raise ConfigError(
                f"{project.path}: {field}: {root / config}: no such config",
                "see configs/train and configs/deploy",
            )


def _config_of_model(project: Project) -> dict[str, str]:
    """The config that a model is trained with or was, by its field, where it is a file."""
    model, train = project.pipeline.model, project.pipeline.train
    if model is None:
        return {"train.config": train.config} if train else {}
    if model.config is None or "::" in model.config:
        return {}
    is_address = "://" in model.config
    return {"model.config": model.config if is_address else str(Path(model.config).expanduser())}


def _check_images(project: Project, root: Path) -> None:
    named = {name: target.image for name, target in project.used_targets.items() if target.image}
    if not named:
        return
    images = load_images(images_file(root)).images
    for name, image in named.items():
        if image not in images:
            raise ConfigError(
                f"{project.folder / 'targets.toml'}: {name}.image: {image!r} is not in"
                f" {images_file(root)}",
                nearest(image, images),
            )
        _check_platform(f"{project.folder / 'targets.toml'}: {name}", name, project, images)


def _check_platform(place: str, name: str, project: Project, images: Mapping[str, Image]) -> None:
    """Refuse an image of other processors than a Jetson's, and a Jetson's setting beside it."""
    target = project.targets[name]
    platform = images[target.image or ""].platform
    if platform == JETSON:
        return
    if BACKENDS[target.backend].builds_on_its_device:
        fit = [each for each, image in images.items() if image.platform == JETSON]
        raise ConfigError(
            f"{place}.image: {target.image!r} is an image for {platform}, and a Jetson's is for "
            f"{JETSON}",
            f"one of: {', '.join(fit)}",
        )
    if target.power_mode:
        raise ConfigError(
            f"{place}.power_mode: Jetsons have one, and image {target.image!r} is for {platform}",
            "remove it",
        )
