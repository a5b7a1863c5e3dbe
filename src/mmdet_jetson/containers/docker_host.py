"""A Docker engine, here or elsewhere: its images, containers and volumes.

Nothing here knows of stages. What runs is a `Box`: a container without network, capabilities, root
and a writable root file system, whatever it is for.
"""

import io
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers.connection import (
    SECONDS,
    Connection,
    all_gpus,
    folder_of_the_machine,
    volume,
)
from mmdet_jetson.containers.objects import (
    ContainerSpec,
    ContainerSummary,
    DockerHostError,
    Exit,
    HostFacts,
    Image,
    ImageSummary,
    NotThere,
    VolumeMount,
)
from mmdet_jetson.containers.streams import output_of, pass_on
from mmdet_jetson.environments.this_machine import MACHINES

STAGE_USER = "10001"
EMPTY = "mmdet-jetson/empty:latest"  # Podman imports under no other tag
MEMORY_SHARE = 0.9  # of the engine's machine, so that it goes on when a stage takes all it gets
PROCESSES = 2048  # OpenMP starts a thread a core in each of a training's loading processes
SHARED_MEMORY = 2 << 30  # bytes; through it a training's loading processes hand over pictures
SCRATCH = "rw,noexec,nosuid,nodev,size=1g"
CLOSED = "ro,noexec,nosuid,nodev,size=4k"  # for what Podman leaves open in a read-only container


def connect(address: str, settings: Settings) -> "DockerHost":
    """Connect to the Docker host of that name, or else to the one that the settings name."""
    return DockerHost(address or settings.docker_host, settings.docker_certificates)


class DockerHost:
    """A connection to one engine."""

    def __init__(self, address: str = "", certificates: Path | None = None) -> None:
        """Connect to ``ssh://user@host``, ``tcp://host:port``, ``unix://path`` or a context's name.

        Without an address: to the context that the Docker command line uses. ``certificates`` is a
        folder with ca.pem, cert.pem and key.pem; tcp needs one.

        Raises:
            DockerHostError: there is no such context, no certificate, or nobody answers.
        """
        connection = Connection(address, certificates)
        self.address = connection.address
        self._api, self._talking = connection.api, connection.talking

    @cached_property
    def facts(self) -> HostFacts:
        """What the engine says of itself."""
        with self._talking("asking what it is"):
            info, parts = self._api.info(), self._api.version().get("Components") or ()
        machine = info["Architecture"]
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
        )

    # Images

    def find_image(self, reference: str) -> Image | None:
        """Look an image up by name or id; ``None`` if the engine has none."""
        with suppress(NotThere), self._talking(f"looking for {reference}"):
            found = self._api.inspect_image(reference)
            return Image(
                id=found["Id"],
                reference=reference,
                architecture=found["Architecture"],
                layers=tuple(found["RootFS"].get("Layers") or ()),
                labels=(found.get("Config") or {}).get("Labels") or {},
                size=found["Size"],
            )
        return None

    def list_images(self) -> list[ImageSummary]:
        """Every image with a name, or with none because that went to another one."""
        with self._talking("listing images"):
            found = self._api.images()
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

    def build(
        self,
        context: IO[bytes],
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
            DockerHostError: an instruction failed; the sentence holds the builder's last words.
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
                f"the engine at {self.address} has no {reference} after making it"
            )
        return found

    # Containers

    @contextmanager
    def container(self, box: ContainerSpec) -> Iterator[str]:
        """Create a container, not started yet, and remove it in the end, running or not."""
        container = self.create(box)
        try:
            yield container
        finally:
            self.remove(container)

    def create(self, box: ContainerSpec) -> str:
        """Create a container and return its id."""
        with self._talking(f"creating a container of {box.image}"):
            made = self._api.create_container(
                box.image,
                list(box.command),
                user=STAGE_USER,
                environment=dict(box.environ),
                labels=dict(box.labels),
                network_disabled=True,
                stdin_open=True,
                host_config=self._hardened(box),
            )
            container: str = made["Id"]
            return container

    def _hardened(self, box: ContainerSpec) -> Any:
        options: dict[str, Any] = {}
        if box.gpu and self.facts.has_gpu:
            options = dict(all_gpus(self.facts.architecture))
        memory = int(self.facts.memory * MEMORY_SHARE)
        return self._api.create_host_config(
            mounts=[volume(each) for each in box.volumes],
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": SCRATCH, "/var/tmp": CLOSED},  # noqa: S108 - inside the container
            shm_size=SHARED_MEMORY,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=memory,
            memswap_limit=memory,
            pids_limit=PROCESSES,
            init=True,
            **options,
        )

    def run(self, container: str, on_output: Callable[[int, bytes], None]) -> Exit:
        """Start a created container and hold its standard input open until it ends.

        Its input closes with this connection, so whatever watches it ends when we are gone.
        ``on_output`` is called with `box.STDOUT` or `box.STDERR` and what came there.
        """
        for stream, content in self._output(container):
            on_output(stream, content)
        with self._talking("waiting for a container"):
            self._api.wait(container, timeout=SECONDS)
            state = self._api.inspect_container(container)["State"]
        known = state["OOMKilled"] or self.facts.tells_memory
        return Exit(state["ExitCode"], state["OOMKilled"] if known else None)

    def _output(self, container: str) -> Iterator[tuple[int, bytes]]:
        with self._talking("running a container"):
            yield from output_of(self._api, container)

    def put(self, container: str, path: str, tar: Iterable[bytes]) -> None:
        """Unpack a tar into a folder of a container, started or not."""
        with self._talking("uploading"):
            self._api.put_archive(container, path, tar)

    def get(self, container: str, path: str) -> Iterator[bytes] | None:
        """Pack a file or a folder of a container as a tar; ``None`` if it is not there."""
        with suppress(NotThere), self._talking("downloading"):
            chunks, _ = self._api.get_archive(container, path)
            return self._downloaded(chunks)
        return None

    def _downloaded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        with self._talking("downloading"):
            yield from chunks

    @contextmanager
    def holder(self, *mounts: VolumeMount, labels: Mapping[str, str]) -> Iterator[str]:
        """Create a container that never starts, to move files in and out of volumes through it."""
        container = self._hold([volume(each) for each in mounts], labels)
        try:
            yield container
        finally:
            self.remove(container)

    def host_file(self, path: str) -> bytes | None:
        """Read a small file of the engine's own machine; ``None`` if there is none.

        A container that never starts shows its folder (out of a file Podman reads nothing), so no
        image and no architecture is needed.
        """
        folder, name = posixpath.split(path)
        container = self._hold([folder_of_the_machine(folder, "/shown")], {})
        try:
            packed = b"".join(self.get(container, f"/shown/{name}") or ())
        finally:
            self.remove(container)
        if not packed:
            return None
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            member = tar.next()
            if member and member.issym():
                return self.host_file(posixpath.normpath(f"{folder}/{member.linkname}"))
            content = tar.extractfile(member) if member else None
            return content.read() if content else None

    def _hold(self, mounts: Sequence[Any], labels: Mapping[str, str]) -> str:
        if self.find_image(EMPTY) is None:
            with self._talking("importing an empty image"):
                self._api.import_image_from_data(bytes(10240), *EMPTY.split(":"))
        with self._talking("creating a container to move files through"):
            config = self._api.create_host_config(mounts=list(mounts), network_mode="none")
            made = self._api.create_container(
                EMPTY, ["never started"], labels=dict(labels), host_config=config
            )
            container: str = made["Id"]
            return container

    def containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        """Every container with all these labels, running or not."""
        with self._talking("listing containers"):
            spelled = [f"{name}={value}" for name, value in labels.items()]
            found = self._api.containers(all=True, filters={"label": spelled})
        return [ContainerSummary(each["Id"], each["Labels"]) for each in found]

    def remove(self, container: str) -> None:
        """Stop a container at once and remove it; one that is gone already is fine."""
        with suppress(NotThere), self._talking("removing a container"):
            self._api.remove_container(container, force=True, v=True)

    # Volumes

    def volumes(self, beginning: str) -> list[str]:
        """The names of all volumes that begin so."""
        with self._talking("listing volumes"):
            found = self._api.volumes()["Volumes"] or []
        return [each["Name"] for each in found if each["Name"].startswith(beginning)]

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone already is fine."""
        with suppress(NotThere), self._talking(f"removing the volume {name}"):
            self._api.remove_volume(name)
