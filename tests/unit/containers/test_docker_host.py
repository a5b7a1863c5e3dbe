"""What is asked over a Docker host's API; the rest of it is tested with real Docker hosts."""

import base64
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import DockerHostError

DIGEST = f"sha256:{'b' * 64}"
# Answers the first question over ssh, of the version, and hears no more.
GONE = r"""#!/bin/sh
while read -r line && [ "$line" != "$(printf '\r')" ]; do :; done
exec <&-
printf 'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"ApiVersion":"1.41"}'
"""
CREDENTIALS = {"auths": {"example.com": {"auth": base64.b64encode(b"me:secret").decode()}}}


class Api(BaseHTTPRequestHandler):
    """Answers the version, and what the registries of two references have."""

    heard: list[str]

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("X-Registry-Auth", ""))
        if self.path.endswith("/version"):
            self.answer(200, {"ApiVersion": "1.41"})
        elif self.path.endswith("/distribution/example.com/cuda:11/json"):
            self.answer(200, {"Descriptor": {"digest": DIGEST}})
        else:
            self.answer(404, {"message": "manifest unknown"})

    def answer(self, code: int, content: object) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerHost]:
    (tmp_path / "config.json").write_text(json.dumps(CREDENTIALS))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    Api.heard = []
    with UnixStreamServer(str(tmp_path / "socket"), Api) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield DockerHost(f"unix://{tmp_path}/socket")
        server.shutdown()


def test_a_tag_is_looked_up_with_the_credentials_for_its_registry(host: DockerHost) -> None:
    assert host.registry_digest("example.com/cuda:11") == DIGEST
    sent = json.loads(base64.urlsafe_b64decode(Api.heard[-1]))
    assert (sent["username"], sent["password"]) == ("me", "secret")


def test_a_tag_that_does_not_exist_is_named(host: DockerHost) -> None:
    with pytest.raises(DockerHostError, match=r"looking ubuntu:1 up .* refused: manifest unknown"):
        host.registry_digest("ubuntu:1")


def test_an_ssh_connection_that_has_gone_is_closed_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text(GONE)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    uncaught: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", uncaught.append)
    assert DockerHost("ssh://me@orin").address == "ssh://me@orin"
    assert not uncaught
