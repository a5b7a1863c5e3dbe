"""What the API of a Docker host answers, as far as it is read here; its SDK has no types.

Docker's reference of its API says what the fields mean.
"""

import hashlib
import json
from typing import TypedDict

Labels = dict[str, str]


class Component(TypedDict):
    """A part of what a Docker host runs, in its version."""

    Name: str


class Version(TypedDict, total=False):
    """The answer to ``version``; Podman is told by its components."""

    Components: list[Component] | None


class _Info(TypedDict):
    Architecture: str
    ID: str
    KernelVersion: str
    MemTotal: int
    NCPU: int
    Name: str
    ServerVersion: str


class Info(_Info, total=False):
    """The answer to ``info``."""

    Runtimes: dict[str, object] | None
    DockerRootDir: str


class ImageConfig(TypedDict, total=False):
    """What an image says of itself, and what its containers start with."""

    Labels: Labels | None
    Env: list[str] | None
    Entrypoint: list[str] | None
    Healthcheck: object
    Volumes: dict[str, object] | None
    WorkingDir: str


def config_digest(config: ImageConfig) -> str:
    """Digest of all in an image's configuration that changes what a stage does in it, in hex.

    A container's command and user are ours, and labels name the commit of the build: leaving these
    out, an image that was built again is the same. What is not set is absent, null or empty,
    depending on who answers; without a folder of its own an image starts in the root.
    """
    folder = config.get("WorkingDir") or "/"
    acting = {
        "Env": sorted(config.get("Env") or ()),
        "Entrypoint": config.get("Entrypoint") or [],
        "Healthcheck": config.get("Healthcheck") or {},
        "Volumes": sorted(config.get("Volumes") or ()),
        "WorkingDir": folder,
    }
    return hashlib.sha256(json.dumps(acting, sort_keys=True).encode()).hexdigest()


class RootFS(TypedDict, total=False):
    """What an image's file system is made of."""

    Layers: list[str] | None


class _ImageDetails(TypedDict):
    Id: str
    Architecture: str
    RootFS: RootFS
    Size: int


class ImageDetails(_ImageDetails, total=False):
    """The answer to ``inspect_image``."""

    Config: ImageConfig | None


class ImageEntry(TypedDict):
    """One of the images in a list; an untagged one has the tag ``<none>:<none>``, or none."""

    Id: str
    RepoTags: list[str] | None
    Created: float
    Labels: Labels | None


class Descriptor(TypedDict):
    """What names content in a registry."""

    digest: str


class Distribution(TypedDict):
    """The answer to ``inspect_distribution``: what a registry has under a reference."""

    Descriptor: Descriptor


class Created(TypedDict):
    """The answer to ``create_container``."""

    Id: str


class ContainerState(TypedDict):
    """How a container runs or ended."""

    ExitCode: int
    OOMKilled: bool
    Status: str


class ContainerConfig(TypedDict, total=False):
    """What a container was created with."""

    Labels: Labels | None


class ContainerDetails(TypedDict):
    """The answer to ``inspect_container``."""

    Id: str
    State: ContainerState
    Config: ContainerConfig


class ContainerEntry(TypedDict):
    """One of the containers in a list."""

    Id: str
    Labels: Labels
    State: str


class VolumeEntry(TypedDict):
    """One of the volumes in a list."""

    Name: str


class VolumeList(TypedDict):
    """The answer to ``volumes``."""

    Volumes: list[VolumeEntry] | None


class Message(TypedDict, total=False):
    """One message while an image is built or pulled: output, a status, or the error it ends in."""

    stream: str
    status: str
    error: str
