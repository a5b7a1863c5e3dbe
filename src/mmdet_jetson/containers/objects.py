"""What a Docker host has and runs: images, containers, volumes, and its own machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmdet_jetson.errors import UserError

LABEL = "io.mmdet-jetson"
STDOUT, STDERR = 1, 2


class DockerHostError(UserError):
    """The Docker host cannot be used, refuses something, or is out of reach."""


class NotThere(DockerHostError):
    """The Docker host has nothing of that name."""


class ConnectionLost(DockerHostError):
    """The Docker host answers no more; what was going on there ends by itself."""


@dataclass(frozen=True)
class HostFacts:
    """What a Docker host says of its machine.

    ``architecture`` as images spell it: amd64, arm64; ``memory`` in bytes.
    """

    id: str
    name: str
    architecture: str
    kernel: str
    version: str
    cores: int
    memory: int
    runtimes: tuple[str, ...]
    product: str = "Docker"
    """Or ``Podman``."""
    folder: str = ""
    """Where it keeps images on its machine, if it says so."""

    @property
    def is_jetson(self) -> bool:
        """Whether it runs NVIDIA's kernel for Jetsons."""
        return "tegra" in self.kernel

    @property
    def has_gpu(self) -> bool:
        """Whether containers can be given a GPU."""
        return "nvidia" in self.runtimes

    @property
    def tells_memory(self) -> bool:
        """Whether it says of a killed container that memory ran out: Podman does so from 5.0 on."""
        return self.product != "Podman" or int(self.version.partition(".")[0]) >= 5


@dataclass(frozen=True)
class Image:
    """An image on a Docker host.

    ``layers`` are the digests of its unpacked layers, base first; ``size`` is in bytes; ``config``
    is the digest of what it gives its containers beside files, such as environment variables.
    """

    id: str
    reference: str
    architecture: str
    layers: tuple[str, ...]
    labels: Mapping[str, str]
    size: int
    config: str = ""

    @property
    def is_stand_in(self) -> bool:
        """Whether it is built on a stand-in, or is one, instead of the real base."""
        return self.labels.get(f"{LABEL}.stand-in") == "true"


@dataclass(frozen=True)
class ImageSummary:
    """An image in a Docker host's list. ``created`` is in seconds since 1970."""

    id: str
    tags: tuple[str, ...]
    created: float
    labels: Mapping[str, str]


@dataclass(frozen=True)
class VolumeMount:
    """A volume as a container has it mounted; it is made where it is missing."""

    volume: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class FolderMount:
    """A folder of the Docker host's machine, as a container has it mounted: read-only."""

    folder: str
    target: str


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is created from. What a stage does not need cannot be asked for."""

    image: str
    command: Sequence[str]
    volumes: Sequence[VolumeMount] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    gpu: bool = False
    name: str = ""
    """Of a name there is one container at most; one that has a name goes when it ends."""


@dataclass(frozen=True)
class Exit:
    """How a container ended; ``out_of_memory`` is ``None`` where the Docker host does not tell."""

    code: int
    out_of_memory: bool | None


@dataclass(frozen=True)
class ContainerSummary:
    """A container in a Docker host's list; ``state`` is created, running, exited and others."""

    id: str
    labels: Mapping[str, str]
    state: str = ""
