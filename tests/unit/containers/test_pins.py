import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mmdet_jetson.config.images import load_images
from mmdet_jetson.containers import pins as pin
from mmdet_jetson.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "b" * 64


class Registry(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        known = self.path in ("/v2/", "/v2/nvidia/cuda/manifests/11")
        self.send_response(200 if known else 404)
        self.send_header("Docker-Content-Digest", DIGEST)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    (tmp_path / "configs").mkdir()
    return Path(shutil.copy(ROOT / "configs/images.toml", tmp_path / "configs"))


def test_a_tag_is_resolved_by_its_registry(registry: str) -> None:
    assert pin.resolve(f"{registry}/nvidia/cuda:11") == DIGEST


def test_a_tag_that_the_registry_does_not_have_is_named(registry: str) -> None:
    with pytest.raises(UserError, match=r"nvidia/cuda:12: the registry answers 404"):
        pin.resolve(f"{registry}/nvidia/cuda:12")


def test_a_registry_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"127.0.0.1:9/x:1: its registry does not answer"):
        pin.resolve("127.0.0.1:9/x:1")


def test_the_file_is_rewritten_with_digests_and_keeps_its_comments(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pin, "resolve", lambda _: DIGEST)
    before = file.read_text()
    pin.pin_all(file)
    images = load_images(file).images.values()
    assert {image.base_digest for image in images} == {DIGEST}
    assert all(image.builder_digest == (DIGEST if image.builder else "") for image in images)
    kept = [line for line in before.splitlines() if "_digest" not in line]
    assert [line for line in file.read_text().splitlines() if "_digest" not in line] == kept
    once = file.read_text()
    pin.pin_all(file)
    assert file.read_text() == once


def test_nothing_is_written_unless_everything_was_resolved(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(reference: str) -> str:
        if reference.startswith("ubuntu"):
            raise UserError("no")
        return DIGEST

    monkeypatch.setattr(pin, "resolve", resolve)
    before = file.read_text()
    with pytest.raises(UserError):
        pin.pin_all(file)
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("reference", "spelled"),
    [
        ("ubuntu:24.04", "registry-1.docker.io/library/ubuntu:24.04"),
        ("nvidia/cuda:11", "registry-1.docker.io/nvidia/cuda:11"),
        ("nvcr.io/nvidia/cuda:11", "nvcr.io/nvidia/cuda:11"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
    ],
)
def test_what_docker_leaves_out_is_spelled_out(reference: str, spelled: str) -> None:
    assert pin._spelled_out(reference) == spelled
