"""A Docker host whose volumes are folders and whose containers run a function of the test."""

import io
import itertools
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import cast

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import (
    STDERR,
    STDOUT,
    ContainerSpec,
    ContainerSummary,
    DockerHostError,
    Exit,
    FolderMount,
    HostFacts,
    Image,
    VolumeMount,
)
from mmdet_jetson.containers.uploads import COPY
from mmdet_jetson.containers.workspace import Workspace

PC = HostFacts(
    id="ID", name="pc", architecture="amd64", kernel="6.1", version="20.10", cores=2, memory=8 << 30,
    runtimes=("runc",),
)  # fmt: skip
IMAGE = Image("sha256:" + 64 * "1", "trial:1", "amd64", ("base", "packages", "source"), {}, 1)
OnOutput = Callable[[int, bytes], None]
Program = Callable[[Path, OnOutput], int]


def _does_nothing() -> None: ...


@dataclass
class FolderDockerHost:
    """``program`` gets the job's folder and where its output goes; it returns an exit code."""

    root: Path
    program: Program = lambda _job, _on_output: 0
    facts: HostFacts = PC
    address: str = "fake"
    gpu_groups: tuple[int, ...] = ()
    out_of_memory: bool | None = False
    host_files: Mapping[str, bytes] = field(default_factory=dict)
    """Of its machine, by their paths."""
    groups: Mapping[str, int] = field(default_factory=dict)
    """Whose group some of them have, other than root's."""
    gpu: str = "null"
    """What its driver says in a container that is given the GPU, as JSON."""
    reported: str = ""
    """What its device and the libraries of an image say there, as JSON."""
    clocks: str = ""
    """What a container says of a Jetson's clocks."""
    volume_folders: dict[str, Path] = field(default_factory=dict)
    specs: dict[str, ContainerSpec] = field(default_factory=dict)
    """Of the containers that are there."""
    created: list[ContainerSpec] = field(default_factory=list)
    before_put: Callable[[], None] = _does_nothing
    before_list: Callable[[], None] = _does_nothing
    before_copy: Callable[[], None] = _does_nothing
    keeps_containers: bool = False
    lists_containers: bool = True
    refused: int = 0
    """How often a volume could not be removed."""
    folders: dict[str, list[FolderMount]] = field(default_factory=dict)
    """Of the machine, in containers that never start."""
    _ids: Iterator[int] = field(default_factory=itertools.count)

    @property
    def host(self) -> DockerHost:
        """Itself, in place of a real one."""
        return cast("DockerHost", self)

    def workspace(self, root: Path, say: Callable[[str], None] = lambda _: None) -> Workspace:
        """What the store in a folder has here."""
        return Workspace(self.host, root, say)

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a container nor a volume."""
        return not self.specs and not self.volume_folders

    def create(self, spec: ContainerSpec) -> str:
        name = f"container-{next(self._ids)}"
        for each in spec.volumes:
            if each.volume not in self.volume_folders:
                (self.root / each.volume).mkdir(parents=True)
                self.volume_folders[each.volume] = self.root / each.volume
        self.specs[name] = spec
        self.created.append(spec)
        return name

    @contextmanager
    def container(self, spec: ContainerSpec) -> Iterator[str]:
        name = self.create(spec)
        try:
            yield name
        finally:
            self.remove(name)

    @contextmanager
    def never_started(
        self, *mounts: VolumeMount | FolderMount, labels: Mapping[str, str]
    ) -> Iterator[str]:
        volumes = [each for each in mounts if isinstance(each, VolumeMount)]
        folders = [each for each in mounts if isinstance(each, FolderMount)]
        with self.container(ContainerSpec("empty", [], volumes, labels=labels)) as name:
            self.folders[name] = folders
            yield name
            del self.folders[name]

    def run(self, container: str, on_output: OnOutput) -> Exit:
        spec = self.specs[container]
        if COPY in spec.command:
            return self._copy(container, on_output)
        if "-c" in spec.command and "print_gpu" in spec.command[-1]:
            on_output(STDERR, b"a warning\n")
            on_output(STDOUT, f"{self.gpu if spec.gpu else 'null'}\n".encode())
            return Exit(0, False)
        if "-c" in spec.command and "reported" in spec.command[-1]:
            on_output(STDERR, b"ImportError: libnvdla_compiler.so\n" if not self.reported else b"")
            on_output(STDOUT, self.reported.encode())
            return Exit(0 if self.reported else 1, False)
        if "-c" in spec.command and "print_clocks" in spec.command[-1]:
            on_output(STDOUT, f"{self.clocks}\n".encode())
            return Exit(0, False)
        if "-c" in spec.command:
            on_output(STDOUT, b"x86_64\n" if self.facts.runtimes == ("runc",) else b"aarch64\n")
            return Exit(0, False)
        return Exit(self.program(self._path(container, "/job"), on_output), self.out_of_memory)

    def _copy(self, container: str, on_output: OnOutput) -> Exit:
        """Run what copies between volumes for real, in their folders."""
        self.before_copy()
        *_, code, here, there = self.specs[container].command
        folders = [str(self._path(container, folder)) for folder in (here, there)]
        with subprocess.Popen(
            [sys.executable, "-c", code, *folders], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as running:
            assert running.stdout
            on_output(STDOUT, running.stdout.read())
        return Exit(running.returncode, False)

    def put(self, container: str, path: str, tarball: Iterable[bytes]) -> None:
        self.before_put()
        with tarfile.open(fileobj=io.BytesIO(b"".join(tarball))) as opened:
            opened.extractall(self._path(container, path))

    def get(self, container: str, path: str) -> Iterator[bytes] | None:
        for mount in self.folders.get(container, ()):
            seen = self._of_machine(mount.folder, PurePosixPath(path).relative_to(mount.target))
            return iter([seen]) if seen else None
        source = self._path(container, path)
        if not source.exists():
            return None
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(source, PurePosixPath(path).name)
        return iter([packed.getvalue()])

    def _of_machine(self, folder: str, name: PurePosixPath) -> bytes:
        """A file of the machine, or a folder with all that lies there, as Docker packs it."""
        packed, found = io.BytesIO(), False
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path, content in self.host_files.items():
                inside = PurePosixPath(path)
                if not inside.is_relative_to(PurePosixPath(folder) / name):
                    continue
                member = tarfile.TarInfo(str(inside.relative_to(folder)))
                member.size, member.gid = len(content), self.groups.get(path, 0)
                member.mode = 0o660 if path in self.groups else 0o666
                tar.addfile(member, io.BytesIO(content))
                found = True
        return packed.getvalue() if found else b""

    def find_container(self, name: str) -> ContainerSummary | None:
        """None has a name of its own: nobody times anything here."""
        return None

    def containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        self.before_list()
        if not self.lists_containers and not self.refused:
            return []
        return [
            ContainerSummary(name, spec.labels)
            for name, spec in self.specs.items()
            if labels.items() <= spec.labels.items()
        ]

    def volumes(self, prefix: str, *, unused: bool = False) -> list[str]:
        found = [name for name in self.volume_folders if name.startswith(prefix)]
        return [name for name in found if not (unused and self.has(name))]

    def has(self, volume: str) -> bool:
        """Whether any container has a volume."""
        return any(each.volume == volume for spec in self.specs.values() for each in spec.volumes)

    def remove(self, container: str) -> None:
        if not self.keeps_containers:
            self.specs.pop(container, None)

    def remove_volume(self, name: str) -> None:
        if self.has(name):
            self.refused += 1
            raise DockerHostError(f"{name} is in use")
        if name in self.volume_folders:
            shutil.rmtree(self.volume_folders.pop(name))

    def _path(self, container: str, path: str) -> Path:
        for each in self.specs[container].volumes:
            if PurePosixPath(path).is_relative_to(each.target):
                inside = PurePosixPath(path).relative_to(each.target)
                return self.volume_folders[each.volume] / inside
        return self.root / "nowhere"
