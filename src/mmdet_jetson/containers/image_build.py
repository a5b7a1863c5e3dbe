"""What one image is built from, decided: bases, build arguments and the files of its context.

The image's tag is a digest of all that, so that whether it is built already is one question to a
Docker host, and whatever changes the image changes its name. Certificates and ready-made wheels
only make a build possible or faster, and are no part of the tag.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmdet_jetson import tarballs
from mmdet_jetson.config.images import Image, Images, StandIn
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import ConfigError

SOURCES = (
    "src/mmdet_jetson/__init__.py",
    "src/mmdet_jetson/contract",
    "src/mmdet_jetson/stages",
)
TESTS = (
    "tests/containers",
    "tests/unit/stages/built_engines.py",
    "tests/unit/stages/fused.py",
    "configs",
    "docker/inside.lock",
    "docker/inside-train.lock",
)
CERTIFICATES = "certificates.pem"


@dataclass(frozen=True)
class ImageBuild:
    """One image, ready to be built.

    ``base_id`` is what identifies the base: its pinned reference or, for a stand-in, its image id.
    """

    name: str
    root: Path
    platform: str
    dockerfile: str
    lock: str
    base_id: str
    is_stand_in: bool
    arguments: Mapping[str, str]

    @cached_property
    def files(self) -> dict[str, Path]:
        """What the image is made of, by its path in the build context; tests are not."""
        names = [self.dockerfile, "docker/installer.lock", *self._locks, "docker/image", *SOURCES]
        return dict(_files(self.root, names))

    @cached_property
    def test_files(self) -> dict[str, Path]:
        """What the image's own suite adds to the context."""
        return dict(_files(self.root, TESTS))

    @property
    def tag(self) -> str:
        """The image's name on a Docker host."""
        return f"mmdet-jetson/{self.name}:{self._digest(self.files)}"

    @property
    def test_tag(self) -> str:
        """The name of the image with its suite on top."""
        return f"mmdet-jetson/{self.name}-tests:{self._digest({**self.files, **self.test_files})}"

    @property
    def lock_digest(self) -> str:
        """SHA-256 of the lock file, in hex."""
        return hashlib.sha256((self.root / self.lock).read_bytes()).hexdigest()

    @property
    def _locks(self) -> list[str]:
        return [name for key, name in self.arguments.items() if key.endswith("LOCK")]

    def _digest(self, files: Mapping[str, Path]) -> str:
        contents = {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
        }
        ingredients = [self.platform, self.base_id, dict(self.arguments), contents]
        return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:16]

    def context(self, extra: Mapping[str, Path]) -> Iterator[bytes]:
        """The build context as a tar: these files and ``extra``, with neither times nor owners."""
        files = sorted({**self.files, **self.test_files, **extra}.items())
        return tarballs.archive(
            *(tarballs.file(path, name, mode=_mode(path)) for name, path in files)
        )


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def image_build(name: str, images: Images, settings: Settings, base_id: str = "") -> ImageBuild:
    """Decide how the image ``name`` is built under these settings.

    ``base_id`` is the stand-in's image id, if one is used.

    Raises:
        ConfigError: there is no such image.
    """
    image = images.image(name)
    is_stand_in = settings.bases == "stand-in"
    arguments = _stand_in_arguments(images, image) if is_stand_in else _arguments(images, image)
    return ImageBuild(
        name=name,
        root=settings.root,
        platform=image.platform,
        dockerfile=image.dockerfile,
        lock=arguments["LOCK"],
        base_id=base_id or f"{arguments['BASE_IMAGE']} {arguments['BUILDER_IMAGE']}",
        is_stand_in=is_stand_in,
        arguments=arguments,
    )


def _arguments(images: Images, image: Image) -> dict[str, str]:
    common = {
        "BASE_IMAGE": images.pinned(image.base),
        "BUILDER_IMAGE": images.pinned(image.builder or image.base),
        "PYTHON": f"python{image.python}",
        "LOCK": image.lock,
    }
    if image.dockerfile == "Dockerfile.train":
        return {**common, "INDEX": image.index}
    return {
        **common,
        "CUDA_LOCK": image.cuda_lock,
        "PACKAGES": " ".join(image.packages),
        "TENSORRT": image.tensorrt or "",
        "PLUGIN_SM": str(image.plugin_sm or ""),
    }


def _stand_in_arguments(images: Images, image: Image) -> dict[str, str]:
    stand_in = images.stand_ins[image.stand_in]
    common = {
        "BASE_IMAGE": StandIn.reference(image.stand_in),
        "BUILDER_IMAGE": StandIn.reference(image.stand_in),
        "PYTHON": f"python{stand_in.python}",
        "LOCK": stand_in.lock,
    }
    if image.dockerfile == "Dockerfile.train":
        return {**common, "INDEX": ""}
    return {**common, "CUDA_LOCK": stand_in.cuda_lock}


def _files(root: Path, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Every file under these files and folders, without what Python leaves there."""
    for name in names:
        top = root / name
        if not top.exists():
            raise ConfigError(f"{top} is missing, and images are built from it")
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path
