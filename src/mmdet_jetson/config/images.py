"""``images.toml``: what each container image is built from, and local replacements of its bases.

Beside it lies ``images.lock``, which ``invoke images.pin`` writes: the digest of each base.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import Name, Positive, Section, convert, nearest, pattern, read_toml
from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.errors import ConfigError

Digest = Annotated[
    str, pattern(r"^sha256:[0-9a-f]{64}$", "a digest is sha256: and 64 hexadecimal digits")
]
Reference = Annotated[
    str,
    pattern(
        r"^[a-z0-9][a-z0-9.:/_-]*:[A-Za-z0-9_.-]+$",
        "an image reference has a repository and a tag, such as ubuntu:22.04",
    ),
]
DebianVersion = Annotated[
    str,
    pattern(
        r"^\d+(\.\d+)+-\d+\+cuda\d+\.\d+$",
        "the whole version of a TensorRT package, such as 10.13.3.9-1+cuda13.0",
    ),
]
Python = Literal["3.8", "3.9", "3.10", "3.11", "3.12"]


class Image(Section, frozen=True, kw_only=True):
    """One image: its Dockerfile, where it runs, its base and what goes on top."""

    dockerfile: Literal["Dockerfile.train", "Dockerfile.l4t"]
    platform: Literal["linux/amd64", "linux/arm64"]
    base: Reference
    builder: Reference | None = None
    """Where packages are compiled, when the base has no compilers; default: the base."""
    packages: tuple[str, ...] = ()
    """Packages that the base's own repositories add to it."""
    tensorrt: DebianVersion | None = None
    """The one version of every TensorRT package among them; None where the base brings its own."""
    python: Python
    lock: str
    cuda_lock: str = ""
    """What is installed beside ``lock`` where the base has CUDA's compiler."""
    plugin_sm: Annotated[int, msgspec.Meta(ge=50, le=199)] | None = None
    """The GPU architecture to compile MMDeploy's TensorRT plugins for, or none."""
    index: str = ""
    """uv's name of the wheel index for PyTorch's CUDA builds."""
    room_gb: Positive
    """About how many gigabytes its bases and itself take, unpacked: asked for before a pull."""
    stand_in: Name


class StandIn(Section, frozen=True, kw_only=True):
    """A base made locally (docker/make-stand-in): the Python it has, and the locks for that."""

    python: Python
    lock: str
    cuda_lock: str = ""

    @staticmethod
    def reference(name: str) -> str:
        """The local image that docker/make-stand-in makes under a name."""
        return f"mmdet-jetson/stand-in:{name}"


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a base's tag was resolved to."""

    digest: Digest
    resolved: str
    """The day (UTC) on which it was first resolved to this digest, as YYYY-MM-DD."""


class _ImagesFile(Section, frozen=True, kw_only=True):
    """``images.toml`` as a whole."""

    images: dict[Name, Image]
    stand_ins: dict[Name, StandIn]


@dataclass(frozen=True)
class Images:
    """The container images, their stand-in bases, and the pins of their bases by reference."""

    images: Mapping[str, Image]
    stand_ins: Mapping[str, StandIn]
    pins: Mapping[str, Pin]

    def image(self, name: str) -> Image:
        """The image of a name.

        Raises:
            ConfigError: there is none; names the nearest.
        """
        if name not in self.images:
            raise ConfigError(
                f"images.toml has no image {name!r}", nearest(name, list(self.images))
            )
        return self.images[name]

    def references(self) -> dict[str, str]:
        """Every base and builder of the images, sorted, with the keys that name it."""
        named: dict[str, list[str]] = {}
        for name, image in self.images.items():
            for key, reference in (("base", image.base), ("builder", image.builder)):
                if reference:
                    named.setdefault(reference, []).append(f"images.{name}.{key}")
        return {reference: ", ".join(keys) for reference, keys in sorted(named.items())}

    def pinned(self, reference: str) -> str:
        """The reference with its digest or, where it has no pin, as it is."""
        pin = self.pins.get(reference)
        return f"{reference}@{pin.digest}" if pin else reference


def load_images(path: Path) -> Images:
    """Read ``images.toml`` and the lock file beside it, and check the files that they name.

    Raises:
        ConfigError: something in it is wrong; names the field.
    """
    file = convert(read_toml(path), _ImagesFile, path)
    for name, image in file.images.items():
        if image.stand_in not in file.stand_ins:
            raise ConfigError(
                f"{path}: images.{name}.stand_in: {image.stand_in!r} is not in stand_ins",
                nearest(image.stand_in, file.stand_ins),
            )
        if bool(image.tensorrt) != bool(image.packages):
            raise ConfigError(
                f"{path}: images.{name}: packages come from an apt repository, where TensorRT's "
                "version changes from day to day: `packages` and `tensorrt` go together",
                "give both or neither",
            )
    _check_files(file, path)
    return Images(file.images, file.stand_ins, _read_pins(path.with_suffix(".lock")))


def write_pins(images_file: Path, pins: Mapping[str, Pin]) -> None:
    """Write the lock file that belongs to an ``images.toml``, all of it or nothing."""
    text = msgspec.json.format(msgspec.json.encode(pins, order="sorted"), indent=2)
    write_whole(images_file.with_suffix(".lock"), text + b"\n")


def _read_pins(path: Path) -> dict[str, Pin]:
    """Read the lock file; there are no pins where it does not exist.

    A reference that no image names is left alone: the next ``invoke images.pin`` drops it, and
    whoever changes a base need not reach a registry at once.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[Reference, Pin])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}",
            "restore it from version control, or write it again: invoke images.pin",
        ) from error


def _check_files(file: _ImagesFile, path: Path) -> None:
    root = path.parent.parent
    named = [
        (f"{kind}.{name}.{field}", getattr(each, field))
        for kind, table in (("images", file.images), ("stand_ins", file.stand_ins))
        for name, each in table.items()
        for field in ("lock", "cuda_lock")
    ]
    for field, lock in named:
        if lock and not (root / lock).is_file():
            raise ConfigError(f"{path}: {field}: {lock!r} is not a file", "docker/refresh-locks")
