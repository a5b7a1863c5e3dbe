"""What one image is built from, decided: bases, build arguments and the files of its context.

A recipe's tag is a digest of all that, so that "is this image built already?" is one look at the
engine, and whatever changes the image changes its name. Certificates and ready-made wheels only
help a build along and are no part of the tag.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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
        """The image's name on an engine."""
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
        what = [self.platform, self.base_id, dict(self.arguments), contents]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    def context(self, extra: Mapping[str, Path]) -> io.BytesIO:
        """The build context as a tar: these files and ``extra``, with neither times nor owners."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, path in sorted({**self.files, **self.test_files, **extra}.items()):
                member = tar.gettarinfo(path, name)
                member.mode = 0o755 if member.mode & 0o100 else 0o644
                member.uid = member.gid = member.mtime = 0
                member.uname = member.gname = ""
                with path.open("rb") as stream:
                    tar.addfile(member, stream)
        packed.seek(0)
        return packed


def image_build(name: str, images: Images, settings: Settings, base_id: str = "") -> ImageBuild:
    """Decide how the image ``name`` is built under these settings.

    ``base_id`` is the stand-in's image id, where one is used.

    Raises:
        ConfigError: there is no such image.
    """
    image = images.image(name)
    standing_in = settings.bases == "stand-in"
    arguments = _stand_in(images.stand_ins[image.stand_in], image) if standing_in else _real(image)
    return ImageBuild(
        name=name,
        root=settings.root,
        platform=image.platform,
        dockerfile=image.dockerfile,
        lock=arguments["LOCK"],
        base_id=base_id if standing_in else f"{image.pinned_base} {image.pinned_builder}",
        is_stand_in=standing_in,
        arguments=arguments,
    )


def _real(image: Image) -> dict[str, str]:
    common = {
        "BASE_IMAGE": image.pinned_base,
        "BUILDER_IMAGE": image.pinned_builder,
        "PYTHON": f"python{image.python}",
        "LOCK": image.lock,
    }
    if image.dockerfile == "Dockerfile.train":
        return {**common, "INDEX": image.index}
    return {
        **common,
        "CUDA_LOCK": image.cuda_lock,
        "PACKAGES": " ".join(image.packages),
        "PLUGIN_SM": str(image.plugin_sm or ""),
    }


def _stand_in(stand_in: StandIn, image: Image) -> dict[str, str]:
    common = {
        "BASE_IMAGE": StandIn.reference(image.stand_in),
        "BUILDER_IMAGE": StandIn.reference(image.stand_in),
        "PYTHON": f"python{stand_in.python}",
        "LOCK": stand_in.lock,
    }
    if image.dockerfile == "Dockerfile.train":
        return {**common, "INDEX": ""}
    return {**common, "CUDA_LOCK": stand_in.cuda_lock}


def _files(root: Path, names: list[str] | tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Every file under these files and folders, without what Python leaves there."""
    for name in names:
        top = root / name
        if not top.exists():
            raise ConfigError(f"{top}: no such file, and images are built from it")
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path
