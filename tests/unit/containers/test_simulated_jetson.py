"""A Docker host on a Jetson, simulated at its API: what containers there are given."""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path, PurePosixPath
from socketserver import UnixStreamServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import jetsons
import pytest

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.host_files import gpu_groups, read_file
from mmdet_jetson.containers.objects import ContainerSpec

CHARACTER_DEVICE, READ_WRITE = tarfile.CHRTYPE, 0o660


class Jetson(BaseHTTPRequestHandler):
    """Answers as Docker does, of a machine whose files were recorded."""

    recorded = jetsons.ORIN
    runtimes: tuple[str, ...] = ("runc", "nvidia")
    architecture = "aarch64"
    mode = READ_WRITE
    created: ClassVar[list[dict[str, object]]]

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path.endswith("/version"):
            self.answer(200, {"ApiVersion": "1.41"})
        elif asked.path.endswith("/info"):
            self.answer(200, self.info())
        elif "/images/" in asked.path:
            image = {"Id": "sha256:1", "Architecture": "arm64", "RootFS": {}, "Size": 1}
            self.answer(200, image)
        elif asked.path.endswith("/archive"):
            self.send_archive(parse_qs(asked.query)["path"][0])
        else:
            self.answer(404, {"message": self.path})

    def do_POST(self) -> None:
        self.created.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(201, {"Id": str(len(self.created) - 1)})

    def do_DELETE(self) -> None:
        self.answer(204, None)

    def info(self) -> dict[str, object]:
        return {
            "Name": "jetson", "ID": "ID", "Architecture": self.architecture, "NCPU": 8,
            "KernelVersion": self.recorded.kernel, "MemTotal": 8 << 30, "ServerVersion": "27.5.1",
            "Runtimes": {name: {} for name in self.runtimes},
        }  # fmt: skip

    def send_archive(self, path: str) -> None:
        """What lies under a path of the container that was created last."""
        (mount,) = self.created[-1]["HostConfig"]["Mounts"]  # type: ignore[index]
        assert (mount["Type"], mount["ReadOnly"]) == ("bind", True)
        folder = PurePosixPath(mount["Source"])
        wanted = folder / PurePosixPath(path).relative_to(mount["Target"])
        packed, found = io.BytesIO(), False
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in self.recorded.files.items():
                if not PurePosixPath(name).is_relative_to(wanted):
                    continue
                found = True
                member = tarfile.TarInfo(str(PurePosixPath(name).relative_to(folder)))
                if name in self.recorded.devices:
                    member.type, member.mode = CHARACTER_DEVICE, self.mode
                    member.gid = self.recorded.devices[name]
                else:
                    member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        if not found:
            self.answer(404, {"message": f"no such file: {wanted}"})
            return
        self.send_response(200)
        self.send_header("X-Docker-Container-Path-Stat", "e30=")  # {} in base64
        self.end_headers()
        self.wfile.write(packed.getvalue())

    def answer(self, code: int, content: object) -> None:
        self.send_response(code)
        self.end_headers()
        if content is not None:
            self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def jetson(tmp_path: Path) -> Iterator[type[Jetson]]:
    """A Jetson of a test's own, at ``socket`` in its folder."""

    class Own(Jetson):
        created: ClassVar[list[dict[str, object]]] = []

    with UnixStreamServer(str(tmp_path / "socket"), Own) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield Own
        server.shutdown()


@pytest.fixture
def host(jetson: type[Jetson], tmp_path: Path) -> DockerHost:
    return DockerHost(f"unix://{tmp_path}/socket")


def created(host: DockerHost, jetson: type[Jetson], *, gpu: bool) -> dict[str, object]:
    """What Docker is told of a container."""
    host.create(ContainerSpec("any", ["python"], environ={"OMP_NUM_THREADS": "4"}, gpu=gpu))
    return jetson.created[-1]


def options(told: dict[str, object]) -> dict[str, object]:
    found = told["HostConfig"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("recorded", "groups"),
    [
        (jetsons.XAVIER, ("44",)),
        (jetsons.ORIN, ("44", "90104")),
        (jetsons.THOR, ("44", "992", "993")),
    ],
    ids=["jetpack-5", "jetpack-6", "jetpack-7"],
)
def test_a_stage_with_the_gpu_has_the_groups_of_the_hosts_own_device_files(
    recorded: jetsons.Recorded, groups: tuple[str, ...], jetson: type[Jetson], host: DockerHost
) -> None:
    jetson.recorded = recorded
    told = options(created(host, jetson, gpu=True))
    assert tuple(told["GroupAdd"]) == groups  # type: ignore[arg-type]
    assert told["Runtime"] == "nvidia"


def test_a_stage_without_the_gpu_has_none_of_it(jetson: type[Jetson], host: DockerHost) -> None:
    told = created(host, jetson, gpu=False)
    assert not {"GroupAdd", "Runtime"} & {name for name, value in options(told).items() if value}
    # for a host whose default runtime is NVIDIA's
    asked = [each for each in told["Env"] if each.startswith("NVIDIA_")]  # type: ignore[attr-defined]
    assert asked == ["NVIDIA_VISIBLE_DEVICES=void"]
    assert len(jetson.created) == 1  # nothing was asked of the machine


@pytest.mark.parametrize(
    ("architecture", "parts"), [("aarch64", "all"), ("x86_64", "compute,utility")]
)
def test_the_gpu_is_asked_for_whatever_the_image_says(
    architecture: str, parts: str, jetson: type[Jetson], host: DockerHost
) -> None:
    jetson.architecture = architecture
    environ = created(host, jetson, gpu=True)["Env"]
    wanted = {"NVIDIA_VISIBLE_DEVICES=all", f"NVIDIA_DRIVER_CAPABILITIES={parts}"}
    assert wanted | {"OMP_NUM_THREADS=4"} <= set(environ)  # type: ignore[call-overload]


def test_files_that_anybody_may_open_need_no_group(jetson: type[Jetson], host: DockerHost) -> None:
    jetson.mode = 0o666
    assert gpu_groups(host) == ()
    jetson.mode = READ_WRITE
    assert gpu_groups(host) == (44, 90104)


def test_a_host_that_does_not_show_its_device_files_still_runs_stages(
    jetson: type[Jetson], host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that gives containers users of their own, and cannot tell whose such a file is."""
    monkeypatch.setattr(
        jetson, "send_archive", lambda self, _: self.answer(500, {"message": "no such id"})
    )
    told = options(created(host, jetson, gpu=True))
    assert (told.get("GroupAdd") or [], told["Runtime"]) == ([], "nvidia")


def test_without_nvidias_runtime_no_container_has_a_gpu(
    jetson: type[Jetson], host: DockerHost
) -> None:
    jetson.runtimes = ("runc",)
    told = created(host, jetson, gpu=True)
    assert not {"GroupAdd", "Runtime"} & {name for name, value in options(told).items() if value}
    assert not any(each.startswith("NVIDIA_") for each in told["Env"])  # type: ignore[attr-defined]


def test_what_the_machine_says_of_itself_is_read_from_afar(host: DockerHost) -> None:
    assert read_file(host, "/etc/nv_tegra_release") == jetsons.ORIN.release
    assert read_file(host, f"{jetsons.TREE}/model") == jetsons.ORIN.model
    assert read_file(host, "/etc/no-such-file") is None
