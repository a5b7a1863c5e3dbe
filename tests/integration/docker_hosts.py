"""More Docker hosts on this machine: a second Docker, reached like one far away, and Podman."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmdet_jetson.config.images import StandIn

SUBJECTS = {
    "server": "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    "client": "extendedKeyUsage=clientAuth\n",
}


@dataclass(frozen=True)
class Remote:
    """A Docker host at a TCP port with TLS, and the folder of a client's certificates."""

    port: int
    certificates: Path

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """What the Docker command line needs to reach it."""
        return {
            **os.environ,
            "DOCKER_HOST": self.address,
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(self.certificates),
        }

    def load(self, *images: str) -> None:
        """Copy images from the machine's own Docker, as one without a registry does it."""
        copy_images(self.environ, *images)


@contextlib.contextmanager
def second_docker_host(folder: Path, *options: str, port: int = 0) -> Iterator[Remote]:
    """Start Docker again with data of its own, and stop it with everything that it runs.

    It may be started once more in the same folder, on the same port, after it was killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificates = folder / "certificates"
    if not certificates.exists():
        make_certificates(certificates)
    port = port or free_port()
    log = (folder / "dockerd.log").open("w")
    tls = {f"--tls{kind}": certificates / f"{name}.pem" for kind, name in
           (("cacert", "ca"), ("cert", "server-cert"), ("key", "server-key"))}  # fmt: skip
    process = subprocess.Popen(
        [
            shutil.which("dockerd") or "dockerd", f"--host=tcp://127.0.0.1:{port}", "--tlsverify",
            *(f"{option}={path}" for option, path in tls.items()),
            f"--data-root={folder}/data", f"--exec-root={folder}/exec",
            # With `--bridge=none` it would remove the bridge of the machine's own Docker.
            f"--pidfile={folder}/dockerd.pid", "--bridge=docker0", "--iptables=false",
            *options,
        ],
        stdout=log, stderr=log,
    )  # fmt: skip
    remote = Remote(port, certificates)
    try:
        wait_until(lambda: docker_answers(remote) or process.poll() is not None)
        assert process.poll() is None, (folder / "dockerd.log").read_text()[-2000:]
        yield remote
    finally:
        process.terminate()
        process.wait(60)
        # One that was killed before leaves its data mounted.
        subprocess.run(["umount", "--quiet", "--recursive", folder / "data"], check=False)


def kill_docker_host(folder: Path) -> None:
    """Kill a Docker that `second_docker_host` started in a folder, and what it keeps containers by."""
    for name in ("dockerd.pid", "exec/containerd/containerd.pid"):
        if (folder / name).exists():
            os.kill(int((folder / name).read_text()), signal.SIGKILL)
            (folder / name).unlink()


# Podman raises its containers' limits above those of a machine where root may not do so. Its usual
# runtime, crun, refuses the mixed cgroups of some machines; runc comes with Docker.
CONFIGURATION = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


def lacks_podman() -> str:
    """Why there is no Podman to test with; empty where there is."""
    if not shutil.which("podman") or not shutil.which("catatonit"):
        return "no Podman here (podman and catatonit)"
    said = subprocess.run(
        ["podman", "--version"], capture_output=True, text=True, check=True
    ).stdout
    old = int(said.split()[-1].partition(".")[0]) < 4
    return f"{said.strip()} is too old: 4.3 is the first that was tested" if old else ""


@contextlib.contextmanager
def podman(folder: Path) -> Iterator[str]:
    """Serve Podman's socket, with images of its own; give its address."""
    # Podman refuses a runroot of more than 50 characters, which pytest's folders may have.
    with tempfile.TemporaryDirectory(prefix="podman-") as run:
        yield from _served(folder, run)


def _served(folder: Path, run: str) -> Iterator[str]:
    (folder / "containers.conf").write_text(CONFIGURATION)
    environ = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}
    command = ["podman", f"--root={folder}/data", f"--runroot={run}"]
    address = f"unix://{folder}/socket"
    process = subprocess.Popen(
        [*command, "system", "service", "--time=0", address],
        cwd=folder, env=environ, stderr=(folder / "log").open("w"),
    )  # fmt: skip
    try:
        wait_until(lambda: (folder / "socket").exists() or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        copy_images({**environ, "DOCKER_HOST": address}, StandIn.reference("amd64"))
        yield address
    finally:
        process.terminate()
        process.wait(60)
        subprocess.run(["umount", "--quiet", folder / "data/overlay"], check=False)


def copy_images(environ: Mapping[str, str], *images: str) -> None:
    """Copy images of the machine's own Docker to the Docker host that `environ` names."""
    save = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE)
    subprocess.run(["docker", "load", "-q"], stdin=save.stdout, env=environ, check=True)
    assert save.wait() == 0


SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
PidFile {folder}/pid
"""
SSH = """#!/bin/sh
exec {ssh} -i {folder}/user -o UserKnownHostsFile={folder}/known "$@"
"""


@contextlib.contextmanager
def ssh_to_this_machine(folder: Path) -> Iterator[tuple[str, Path]]:
    """Start an SSH server; give the address for Docker, and a folder with an `ssh` that has its key."""
    folder.mkdir()
    (folder / "bin").mkdir()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    port = free_port()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "config").write_text(SSHD.format(port=port, folder=folder))
    (folder / "bin/ssh").write_text(SSH.format(ssh=shutil.which("ssh"), folder=folder))
    (folder / "bin/ssh").chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([str(shutil.which("sshd")), "-D", "-f", folder / "config"])
    try:
        wait_until((folder / "pid").exists)
        yield f"ssh://root@127.0.0.1:{port}", folder / "bin"
    finally:
        server.terminate()
        server.wait(60)


def docker_answers(remote: Remote) -> bool:
    return not subprocess.run(
        ["docker", "version"], env=remote.environ, capture_output=True, check=False
    ).returncode


def make_certificates(folder: Path) -> Path:
    """Make an authority, a server's and a client's certificate: ca.pem, cert.pem, key.pem."""
    folder.mkdir(parents=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)

    def new_key(name: str, common_name: str, *more: str) -> None:
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}-key.pem",
                "-subj", f"/CN={common_name}", *more)  # fmt: skip

    new_key("ca", "trial authority", "-x509", "-days", "2", "-out", "ca.pem")
    for name, extensions in SUBJECTS.items():
        (folder / f"{name}.ext").write_text(extensions)
        new_key(name, name, "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                "-out", f"{name}-cert.pem")  # fmt: skip
    shutil.copy(folder / "client-cert.pem", folder / "cert.pem")
    shutil.copy(folder / "client-key.pem", folder / "key.pem")
    return folder


@dataclass
class Relay:
    """Passes on what goes to a Docker host and back, until so many bytes went up or came down."""

    remote: Remote
    most_up: float = float("inf")
    most_down: float = float("inf")
    up: int = 0
    down: int = 0
    is_cut: bool = False
    _ends: list[socket.socket] = field(default_factory=list)

    @contextlib.contextmanager
    def open(self) -> Iterator[Remote]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._ends.append(server)
            threading.Thread(target=self._accept, args=[server], daemon=True).start()
            yield Remote(server.getsockname()[1], self.remote.certificates)
            self.cut()

    def cut(self) -> None:
        self.is_cut = True
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self.is_cut:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", self.remote.port))
                self._ends += [near, far]
                for way in ((near, far, "up"), (far, near, "down")):
                    threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 16):
                setattr(self, way, getattr(self, way) + len(content))
                if self.up > self.most_up or self.down > self.most_down:
                    self.cut()
                    return
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_until(holds: Callable[[], bool], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
