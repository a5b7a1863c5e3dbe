"""``images.toml``: what each container image is built from, and what stands in for its bases."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import Name, Section, convert, nearest, read_toml
from mmdet_jetson.errors import ConfigError

Digest = Annotated[str, msgspec.Meta(pattern=r"^(sha256:[0-9a-f]{64})?$")]
Reference = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.:/_-]*:[A-Za-z0-9_.-]+$")]
Python = Literal["3.8", "3.9", "3.10", "3.11", "3.12"]


class Image(Section, frozen=True, kw_only=True):
    """One image: its Dockerfile, where it runs, its base and what goes on top."""

    dockerfile: Literal["Dockerfile.train", "Dockerfile.l4t"]
    platform: Literal["linux/amd64", "linux/arm64"]
    base: Reference
    base_digest: Digest = ""
    """Empty: not pinned yet, the tag is used as it is."""
    builder: Reference | None = None
    """Where packages are compiled, when the base has no compilers; default: the base."""
    builder_digest: Digest = ""
    packages: tuple[str, ...] = ()
    """Packages that the base's own repositories add to it."""
    python: Python
    lock: str
    cuda_lock: str = ""
    """What is installed beside ``lock`` where the base has CUDA's compiler."""
    plugin_sm: Annotated[int, msgspec.Meta(ge=50, le=199)] | None = None
    """The GPU architecture to compile MMDeploy's TensorRT plugins for, or none."""
    index: str = ""
    """uv's name of the wheel index for PyTorch's CUDA builds."""
    stand_in: Name

    @property
    def pinned_base(self) -> str:
        """The base's reference, with its digest where that is known."""
        return _pinned(self.base, self.base_digest)

    @property
    def pinned_builder(self) -> str:
        """The builder's reference, with its digest where that is known."""
        return _pinned(self.builder, self.builder_digest) if self.builder else self.pinned_base


class StandIn(Section, frozen=True, kw_only=True):
    """A base made locally (docker/make-stand-in): the Python it has, and the locks for that."""

    python: Python
    lock: str
    cuda_lock: str = ""

    @staticmethod
    def reference(name: str) -> str:
        """The local image that docker/make-stand-in makes under a name."""
        return f"mmdet-jetson/stand-in:{name}"


class Images(Section, frozen=True, kw_only=True):
    """``images.toml`` as a whole."""

    images: dict[Name, Image]
    stand_ins: dict[Name, StandIn]

    def image(self, name: str) -> Image:
        """The image of a name.

        Raises:
            ConfigError: there is none; names the nearest.
        """
        if name not in self.images:
            raise ConfigError(f"{name!r} is no image of images.toml", nearest(name, self.images))
        return self.images[name]


def _pinned(reference: str, digest: str) -> str:
    return f"{reference}@{digest}" if digest else reference


def load_images(path: Path) -> Images:
    """Read ``images.toml`` and check it against the files that it names.

    Raises:
        ConfigError: something in it is wrong; names the field.
    """
    images = convert(read_toml(path), Images, path)
    root = path.parent.parent
    for name, image in images.images.items():
        if image.stand_in not in images.stand_ins:
            raise ConfigError(
                f"{path}: images.{name}.stand_in: {image.stand_in!r} is not in stand_ins",
                nearest(image.stand_in, images.stand_ins),
            )
    named = [
        (f"{kind}.{name}.{field}", getattr(each, field))
        for kind, table in (("images", images.images), ("stand_ins", images.stand_ins))
        for name, each in table.items()
        for field in ("lock", "cuda_lock")
    ]
    for where, file in named:
        if file and not (root / file).is_file():
            raise ConfigError(f"{path}: {where}: {file!r} is not a file", "docker/refresh-locks")
    return images
