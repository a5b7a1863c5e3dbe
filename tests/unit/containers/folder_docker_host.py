"""An engine whose volumes are folders and whose containers run a function of the test."""

import io
import itertools
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mmdet_jetson.containers.objects import (
    STDERR,
    STDOUT,
    VolumeMount,
    ContainerSpec,
    DockerHostError,
    Exit,
    HostFacts,
    ContainerSummary,
    Image,
)

PC = HostFacts(
    id="ID", name="pc", architecture="amd64", kernel="6.1", version="20.10", cores=2, memory=8 << 30,
    runtimes=("runc",),
)  # fmt: skip
IMAGE = Image("sha256:" + 64 * "1", "trial:1", "amd64", ("base", "packages", "source"), {}, 1)
Program = Callable[[Path, Callable[[int, bytes], None]], int]


@dataclass
class FolderEngine:
    """``program`` gets the job's folder and where to say things; it returns an exit code."""

    root: Path
    program: Program = lambda _job, _say: 0
    facts: Facts = PC
    address: str = "fake"
    out_of_memory: bool | None = False
    host_files: Mapping[str, bytes] = field(default_factory=dict)
    gpu: str = "None"
    shelves: dict[str, Path] = field(default_factory=dict)
    boxes: dict[str, ContainerSpec] = field(default_factory=dict)
    created: list[ContainerSpec] = field(default_factory=list)
    before_put: Callable[[], None] = lambda: None
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def create(self, box: ContainerSpec) -> str:
        name = f"box-{next(self._ids)}"
        for each in box.volumes:
            if each.volume not in self.shelves:
                (self.root / each.volume).mkdir(parents=True)
                self.shelves[each.volume] = self.root / each.volume
        self.boxes[name] = box
        self.created.append(box)
        return name

    @contextmanager
    def container(self, box: ContainerSpec) -> Iterator[str]:
        name = self.create(box)
        try:
            yield name
        finally:
            self.remove(name)

    @contextmanager
    def holder(self, *mounts: VolumeMount, labels: Mapping[str, str]) -> Iterator[str]:
        with self.container(ContainerSpec("empty", [], mounts, labels=labels)) as name:
            yield name

    def run(self, container: str, on_output: Callable[[int, bytes], None]) -> Exit:
        box = self.boxes[container]
        if "-c" in box.command and "gpu_architecture" in box.command[-1]:
            on_output(STDERR, b"a warning\n")
            on_output(STDOUT, f"{self.gpu if box.gpu else None}\n".encode())
            return Exit(0, False)
        if "-c" in box.command:
            on_output(STDOUT, b"x86_64\n" if self.facts.runtimes == ("runc",) else b"aarch64\n")
            return Exit(0, False)
        return Exit(self.program(self._place(container, "/job"), on_output), self.out_of_memory)

    def put(self, container: str, path: str, tar: Iterable[bytes]) -> None:
        self.before_put()
        with tarfile.open(fileobj=io.BytesIO(b"".join(tar))) as opened:
            opened.extractall(self._place(container, path))

    def get(self, container: str, path: str) -> Iterator[bytes] | None:
        source = self._place(container, path)
        if not source.exists():
            return None
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(source, PurePosixPath(path).name)
        return iter([packed.getvalue()])

    def host_file(self, path: str) -> bytes | None:
        return self.host_files.get(path)

    def containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        return [
            ContainerSummary(n, b.labels) for n, b in self.boxes.items() if labels.items() <= b.labels.items()
        ]

    def volumes(self, beginning: str) -> list[str]:
        return [name for name in self.shelves if name.startswith(beginning)]

    def remove(self, container: str) -> None:
        self.boxes.pop(container, None)

    def remove_volume(self, name: str) -> None:
        if any(each.volume == name for box in self.boxes.values() for each in box.volumes):
            raise DockerHostError(f"{name} is in use")
        if name in self.shelves:
            shutil.rmtree(self.shelves.pop(name))

    def _place(self, container: str, path: str) -> Path:
        for each in self.boxes[container].volumes:
            if PurePosixPath(path).is_relative_to(each.target):
                inside = PurePosixPath(path).relative_to(each.target)
                return self.shelves[each.volume] / inside
        return self.root / "nowhere"
