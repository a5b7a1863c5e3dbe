"""A Docker host that remembers what it was asked for, and answers what a test tells it to."""

import io
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import (
    STDERR,
    STDOUT,
    ContainerSpec,
    DockerHostError,
    Exit,
    HostFacts,
    Image,
    ImageSummary,
)

IMAGE = Image(
    id=f"sha256:{'1' * 64}",
    reference="any:1",
    architecture="amd64",
    layers=(),
    labels={},
    size=1,
)


PC = HostFacts(
    id="ID", name="another-machine", architecture="amd64", kernel="6.1", version="20.10", cores=2,
    memory=8 << 30, runtimes=("runc",), folder="/var/lib/docker",
)  # fmt: skip


def images(*references: str) -> dict[str, Image]:
    """Images of these names, as a Docker host has them."""
    return {reference: Image(**{**vars(IMAGE), "reference": reference}) for reference in references}


@dataclass(frozen=True)
class Built:
    """What a Docker host was asked to build."""

    tag: str
    labels: Mapping[str, str]
    arguments: Mapping[str, str]
    files: list[str]


@dataclass
class FakeDockerHost:
    """``pullable`` are references that it can pull, ``digests`` those that registries know.

    ``in_use`` are images that cannot be removed.
    """

    images: dict[str, Image] = field(default_factory=dict)
    pullable: Collection[str] = ()
    built: list[Built] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    address: str = "fake"
    listed: list[ImageSummary] = field(default_factory=list)
    in_use: Collection[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    facts: HostFacts = PC
    free: bytes = b""
    """What a container prints that is asked how much disk is free."""
    specs: list[ContainerSpec] = field(default_factory=list)

    @property
    def host(self) -> DockerHost:
        """Itself, in place of a real one."""
        return cast("DockerHost", self)

    def find_image(self, reference: str) -> Image | None:
        return self.images.get(reference)

    def list_images(self) -> list[ImageSummary]:
        return self.listed

    def remove_image(self, reference: str) -> None:
        if reference in self.in_use:
            raise DockerHostError(f"{reference} is in use")

    @contextmanager
    def container(self, spec: ContainerSpec) -> Iterator[str]:
        self.specs.append(spec)
        yield "container"

    def run(self, container: str, on_output: Callable[[int, bytes], None]) -> Exit:
        if not self.free:
            raise DockerHostError("python3: not found")
        on_output(STDERR, b"a warning\n")
        on_output(STDOUT, self.free)
        return Exit(0, out_of_memory=False)

    def pull(self, reference: str, platform: str, on_line: object) -> Image:
        if reference not in self.pullable:
            raise DockerHostError("no such host")
        self.pulled.append(reference)
        return images(reference)[reference]

    def registry_digest(self, reference: str) -> str:
        if reference not in self.digests:
            raise DockerHostError(f"looking {reference} up: the Docker host refused: unknown")
        return self.digests[reference]

    def build(
        self,
        context: Iterable[bytes],
        *,
        dockerfile: str,
        tag: str,
        on_line: object,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        target: str,
        platform: str,
    ) -> Image:
        with tarfile.open(fileobj=io.BytesIO(b"".join(context))) as tar:
            self.built.append(Built(tag, labels, arguments, tar.getnames()))
        self.images |= images(tag)
        return self.images[tag]
