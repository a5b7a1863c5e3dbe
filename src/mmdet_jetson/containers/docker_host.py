"""A Docker host, here or elsewhere: its images, containers and volumes.

Nothing here knows of stages.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from mmdet_jetson import stopping
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers import answers, host_files
from mmdet_jetson.containers.connection import (
    SECONDS,
    APIClient,
    Connection,
    GpuOptions,
    all_gpus,
    mount_of,
)
from mmdet_jetson.containers.hardening import STAGE_USER, environ_of, hardened
from mmdet_jetson.containers.objects import (
    ConnectionLost,
    ContainerSpec,
    ContainerSummary,
    DockerHostError,
    Exit,
    FolderMount,
    HostFacts,
    Image,
    ImageSummary,
    NotThere,
    VolumeMount,
)
from mmdet_jetson.containers.streams import input_of, output_of, pass_on
from mmdet_jetson.environments.this_machine import MACHINES

EMPTY = "mmdet-jetson/empty:latest"  # Podman imports under no other tag


def connect(address: str, settings: Settings) -> "DockerHost":
    """Connect to the Docker host of that name, or else to the one that the settings name."""
    return DockerHost(address or settings.docker_host, settings.docker_certificates)


class DockerHost:
    """A Docker host, connected to."""

    def __init__(self, address: str = "", certificates: Path | None = None) -> None:
        """Connect to ``ssh://user@host``, ``tcp://host:port``, ``unix://path`` or a context's name.

        Without an address: to the context that the Docker command line uses. ``certificates`` is a
        folder with ca.pem, cert.pem and key.pem; tcp needs one.

        Raises:
            DockerHostError: there is no such context, no certificate, or nobody answers.
        """
        self._connection = Connection(address, certificates)
        self.address, self._talking = self._connection.address, self._connection.talking

    @property
    def is_here(self) -> bool:
        """Whether it is reached through a socket of this machine."""
        return urlsplit(self.address).scheme in ("unix", "http+unix", "npipe")

    @property
    def _api(self) -> APIClient:
        return self._connection.api

    @cached_property
    def facts(self) -> HostFacts:
        """What the Docker host says of itself."""
        with self._talking("asking what it is"):
            info: answers.Info = self._api.info()
            version: answers.Version = self._api.version()
        machine, parts = info["Architecture"], version.get("Components") or ()
        return HostFacts(
            name=info["Name"],
            architecture=MACHINES.get(machine, machine),
            kernel=info["KernelVersion"],
            version=info["ServerVersion"],
            cores=info["NCPU"],
            memory=info["MemTotal"],
            id=info["ID"],
            runtimes=tuple(info.get("Runtimes") or ()),
            product="Podman" if any("Podman" in each["Name"] for each in parts) else "Docker",
            folder=info.get("DockerRootDir", ""),
        )

    @cached_property
    def gpu_groups(self) -> tuple[int, ...]:
        """The numbers of the groups that may open the GPU's device files there.

        None where it does not show them: a stage then says which files are closed to it.
        """
        try:
            return host_files.gpu_groups(self)
        except ConnectionLost:
            raise
        except DockerHostError:
            return ()

    # Images

    def find_image(self, reference: str) -> Image | None:
        """Look an image up by name or id; ``None`` if there is none."""
        with suppress(NotThere), self._talking(f"looking for {reference}"):
            found: answers.ImageDetails = self._api.inspect_image(reference)
            config = found.get("Config") or {}
            return Image(
                id=found["Id"],
                reference=reference,
                architecture=found["Architecture"],
                layers=tuple(found["RootFS"].get("Layers") or ()),
                labels=config.get("Labels") or {},
                size=found["Size"],
                config=answers.config_digest(config),
            )
        return None

    def list_images(self) -> list[ImageSummary]:
        """Every image with a name, or with none because that went to another one."""
        with self._talking("listing images"):
            found: list[answers.ImageEntry] = self._api.images()
        return [
            ImageSummary(
                id=each["Id"],
                tags=tuple(tag for tag in each["RepoTags"] or () if tag != "<none>:<none>"),
                created=each["Created"],
                labels=each["Labels"] or {},
            )
            for each in found
        ]

    def pull(self, reference: str, platform: str, on_line: Callable[[str], None]) -> Image:
        """Fetch an image from its registry."""
        with self._talking(f"pulling {reference}"):
            messages = self._api.pull(reference, platform=platform, stream=True, decode=True)
            pass_on(messages, on_line)
        return self._image(reference)

    def registry_digest(self, reference: str) -> str:
        """Ask a reference's registry for the digest that its tag has now.

        The Docker host asks, with the credentials that this machine's Docker has for the registry.
        An image for several platforms has one digest for all of them.
        """
        with self._talking(f"looking {reference} up in its registry"):
            found: answers.Distribution = self._api.inspect_distribution(reference)
        return found["Descriptor"]["digest"]

    def build(
        self,
        context: Iterable[bytes],
        *,
        dockerfile: str,
        tag: str,
        on_line: Callable[[str], None],
        arguments: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        target: str = "",
        platform: str = "",
    ) -> Image:
        """Build an image from a tar with the classic builder; its output goes to ``on_line``.

        Raises:
            DockerHostError: an instruction failed; the message is the builder's.
        """
        with self._talking(f"building {tag}"):
            messages = self._api.build(
                fileobj=context, custom_context=True, dockerfile=dockerfile, tag=tag, rm=True,
                forcerm=True, buildargs=dict(arguments or {}), labels=dict(labels or {}),
                target=target, platform=platform or None, decode=True,
            )  # fmt: skip
            pass_on(messages, on_line)
        return self._image(tag)

    def remove_image(self, reference: str) -> None:
        """Remove an image; one that is not there is fine."""
        with suppress(NotThere), self._talking(f"removing {reference}"):
            self._api.remove_image(reference)

    def _image(self, reference: str) -> Image:
        found = self.find_image(reference)
        if found is None:
            raise DockerHostError(
                f"the Docker host at {self.address} has no image {reference} after making it"
            )
        return found

    # Containers

    @contextmanager
    def container(self, spec: ContainerSpec) -> Iterator[str]:
        """Create a container, not started yet, and remove it in the end, running or not."""
        container = self.create(spec)
        try:
            yield container
        finally:
            self.remove(container)

    def create(self, spec: ContainerSpec) -> str:
        """Create a container and return its id."""
        with self._talking(f"creating a container of {spec.image}"):
            created: answers.Created = self._api.create_container(
                spec.image,
                list(spec.command),
                name=spec.name or None,
                user=STAGE_USER,
                environment=environ_of(spec, self.facts),
                labels=dict(spec.labels),
                network_disabled=True,
                stdin_open=True,
                host_config=hardened(self._api, spec, self.facts, self._gpus(spec)),
            )
            return created["Id"]

    def _gpus(self, spec: ContainerSpec) -> GpuOptions:
        if not spec.gpu or not self.facts.has_gpu:
            return {}
        return all_gpus(self.facts.architecture, self.gpu_groups)

    def run(self, container: str, on_output: Callable[[int, bytes], None]) -> Exit:
        """Start a created container and hold its standard input open until it ends.

        Its input closes with this connection, so whatever watches it ends when we are gone.
        ``on_output`` is called with `objects.STDOUT` or `objects.STDERR` and what came there.
        """
        with stopping.current().meanwhile(lambda: self._kill(container)):
            for stream, content in self._output(container):
                on_output(stream, content)
        with self._talking("waiting for a container"):
            self._api.wait(container, timeout=SECONDS)
            found: answers.ContainerDetails = self._api.inspect_container(container)
        state = found["State"]
        known = state["OOMKilled"] or self.facts.tells_memory
        return Exit(state["ExitCode"], state["OOMKilled"] if known else None)

    def _kill(self, container: str) -> None:
        with self._talking("ending a container"):
            self._api.kill(container)

    def _output(self, container: str) -> Iterator[tuple[int, bytes]]:
        with self._talking("running a container"):
            yield from output_of(self._api, container)

    def put(self, container: str, path: str, tarball: Iterable[bytes]) -> None:
        """Unpack a tar into a folder of a container, started or not."""
        with self._talking("uploading"):
            self._api.put_archive(container, path, stopping.checked(tarball))

    def get(self, container: str, path: str) -> Iterator[bytes] | None:
        """Pack a file or a folder of a container as a tar; ``None`` if it is not there."""
        with suppress(NotThere), self._talking("downloading"):
            chunks, _ = self._api.get_archive(container, path)
            return self._downloaded(chunks)
        return None

    def _downloaded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        with self._talking("downloading"):
            yield from stopping.checked(chunks)

    @contextmanager
    def never_started(
        self, *mounts: VolumeMount | FolderMount, labels: Mapping[str, str]
    ) -> Iterator[str]:
        """Create a container that never starts, to move files through it.

        Of a single file that is mounted Podman gives nothing, so what is mounted are folders.
        """
        container = self._create_never_started(mounts, labels)
        try:
            yield container
        finally:
            self.remove(container)

    def _create_never_started(
        self, mounts: Iterable[VolumeMount | FolderMount], labels: Mapping[str, str]
    ) -> str:
        if self.find_image(EMPTY) is None:
            with self._talking("importing an empty image"):
                empty_archive = bytes(10240)  # as tar pads it
                self._api.import_image_from_data(empty_archive, *EMPTY.split(":"))
        with self._talking("creating a container to move files through"):
            config = self._api.create_host_config(
                mounts=[mount_of(each) for each in mounts], network_mode="none"
            )
            created: answers.Created = self._api.create_container(
                EMPTY, ["never started"], labels=dict(labels), host_config=config
            )
            return created["Id"]

    def containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        """Every container with all these labels, running or not."""
        with self._talking("listing containers"):
            filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
            found: list[answers.ContainerEntry] = self._api.containers(all=True, filters=filters)
        return [ContainerSummary(each["Id"], each["Labels"], each["State"]) for each in found]

    def find_container(self, name: str) -> ContainerSummary | None:
        """Look a container up by its name or id; ``None`` if there is none."""
        with suppress(NotThere), self._talking(f"looking for {name}"):
            found: answers.ContainerDetails = self._api.inspect_container(name)
            labels = found["Config"].get("Labels") or {}
            return ContainerSummary(found["Id"], labels, found["State"]["Status"])
        return None

    @contextmanager
    def feed(self, container: str) -> Iterator[Callable[[bytes], None]]:
        """Start a created container; gives what writes to its input, which closes in the end."""
        with self._talking("starting a container"):
            connection, write = input_of(self._api, container)
        try:
            yield write
        finally:
            connection.close()

    def remove(self, container: str) -> None:
        """Stop a container at once and remove it; one that is gone already is fine."""
        with suppress(NotThere), self._talking("removing a container"):
            self._api.remove_container(container, force=True, v=True)

    # Volumes

    def volumes(self, prefix: str, *, unused: bool = False) -> list[str]:
        """The names of all volumes that begin with a prefix, or of those that no container has."""
        with self._talking("listing volumes"):
            filters = {"dangling": True} if unused else {}
            found: answers.VolumeList = self._api.volumes(filters)
        names = (each["Name"] for each in found["Volumes"] or ())
        return [name for name in names if name.startswith(prefix)]

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone already is fine."""
        with suppress(NotThere), self._talking(f"removing the volume {name}"):
            self._api.remove_volume(name)
