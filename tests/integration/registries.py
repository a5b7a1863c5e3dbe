"""Debian's registry on this machine, with TLS and passwords, and what comes between it and a client."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import requests
from docker_hosts import free_port, make_certificates, wait_until
from needed import absent

USER, PASSWORD = "robot", "correct horse"

CONFIG = """
version: 0.1
log: {{ level: info, accesslog: {{ disabled: false }} }}
storage:
  filesystem: {{ rootdirectory: {folder}/data }}
  delete: {{ enabled: true }}
  maintenance: {{ uploadpurging: {{ enabled: false }} }}
http:
  addr: 127.0.0.1:{port}
  tls: {{ certificate: {tls}/server-cert.pem, key: {tls}/server-key.pem }}
auth:
  htpasswd: {{ realm: trial, path: {folder}/htpasswd }}
"""


def _direct() -> requests.Session:
    """A session without the user's proxies, which requests asks for 127.0.0.1, too."""
    session = requests.Session()
    session.trust_env = False
    return session


@dataclass
class Registry:
    """Debian's ``docker-registry`` as a process of its own; it keeps its port when started again."""

    folder: Path
    port: int
    _process: "subprocess.Popen[bytes] | None" = None
    _session: requests.Session = field(default_factory=_direct)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "tls/ca.pem"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def login(self, *hosts: str) -> Path:
        """Make a folder for ``DOCKER_CONFIG`` that logs in at hosts, at this one if none is given."""
        folder = self.folder / "login"
        folder.mkdir(exist_ok=True)
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        auths = {host: {"auth": secret} for host in hosts or (self.host,)}
        (folder / "config.json").write_text(json.dumps({"auths": auths}))
        return folder

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        command = ["docker-registry", "serve", str(self.folder / "config.yml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        self._process = process
        wait_until(lambda: self._answers() or process.poll() is not None)
        assert process.poll() is None, (self.folder / "log").read_text()[-2000:]

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def empty(self) -> None:
        """Forget all that was ever pushed."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def garbage_collect(self) -> str:
        """Free all that no tag names, the untagged children of an index included; what it says."""
        done = subprocess.run(
            ["docker-registry", "garbage-collect", "-m", str(self.folder / "config.yml")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def asked(self) -> list[tuple[str, str, int]]:
        """Method, path and status of everything that was asked so far, by its own access log."""
        lines = (self.folder / "log").read_text().splitlines()
        asked = [line.split('"') for line in lines if ' "' in line and "HTTP/1.1" in line]
        return [
            (*each[1].split()[:2], int(each[2].split()[0]))  # type: ignore[misc]
            for each in asked
            if each[1].endswith("HTTP/1.1")
        ]

    def get(self, path: str, **headers: str) -> requests.Response:
        """Ask as another client would, that knows nothing of ours."""
        return self._session.get(
            f"https://{self.host}/v2/{path}", auth=(USER, PASSWORD), verify=str(self.ca),
            headers=headers, timeout=30,
        )  # fmt: skip

    def _answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):  # one that starts may keep it waiting
            return self.get("").ok
        return False


@contextlib.contextmanager
def docker_registry(folder: Path) -> Iterator[Registry]:
    """Serve an empty registry at a loopback port, until the block ends."""
    if not shutil.which("docker-registry"):
        absent("no registry here: apt-get install docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    registry = Registry(folder, free_port())
    make_certificates(folder / "tls")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{hashed}\n")
    text = CONFIG.format(folder=folder, port=registry.port, tls=folder / "tls")
    (folder / "config.yml").write_text(text)
    registry.start()
    try:
        yield registry
    finally:
        registry.kill()


def skopeo(registry: Registry, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run skopeo, which trusts the registry and logs in there."""
    if not shutil.which("skopeo"):
        absent("no skopeo here: apt-get install skopeo")
    environ = {
        **os.environ,
        "SSL_CERT_FILE": str(registry.ca),
        "REGISTRY_AUTH_FILE": str(registry.login() / "config.json"),
    }
    return subprocess.run(
        ["skopeo", "--insecure-policy", *words],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip


@dataclass
class Wire:
    """A relay in front of a port that counts what passes, and acts once so much has.

    Its buffers are small, so that what it counted has nearly all arrived.
    """

    port: int
    up: int = 0
    down: int = 0
    near_port: int = 0
    _limit: float = float("inf")
    _act: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ends: list[socket.socket] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.near_port}"

    def arm(self, limit: float = float("inf"), act: Callable[[], None] = lambda: None) -> None:
        """Count from nothing, and act once when more than ``limit`` bytes passed, both ways together."""
        with self._lock:
            self.up = self.down = 0
            self._limit, self._act = limit, act

    def spare(self) -> None:
        """Count on, and do not act any more."""
        with self._lock:
            self._limit = float("inf")

    def cut(self) -> None:
        """Drop every connection there is; new ones are let through."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def open(self) -> Iterator["Wire"]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.near_port = server.getsockname()[1]
            threading.Thread(target=self._accept, args=[server], daemon=True).start()
            yield self
            self.cut()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                threading.Thread(target=self._connect, args=[near], daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.port))
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
        with self._lock:
            self._ends += [near, far]
        back = threading.Thread(target=self._pass_on, args=[far, near, "down"], daemon=True)
        back.start()
        self._pass_on(near, far, "up")
        back.join()
        near.close()
        far.close()

    def _pass_on(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 15):
                target.sendall(content)
                self._count(way, len(content))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, way: str, size: int) -> None:
        act = None
        with self._lock:
            setattr(self, way, getattr(self, way) + size)
            if self.up + self.down > self._limit:
                self._limit, act = float("inf"), self._act
        if act:
            act()
