"""What tests of places need: a registry that answers, stores, a user without a configuration."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from impatience import FAST
from registry_server import PASSWORD, USER, RegistryServer
from small_runs import Run, small_run

from mmdet_jetson.registry.connections import Patience
from mmdet_jetson.registry.reference import RegistryReference, parse_place
from mmdet_jetson.registry.repository import Repository
from mmdet_jetson.registry.session import Access
from mmdet_jetson.store import Store

Opened = Callable[..., Repository]
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXIES = (*_PROXIES, *map(str.upper, _PROXIES))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without anything in it, and no proxy on the way."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", *PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as running:
        yield running


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens a repository of a server; two of one name share their notes, as two processes do."""

    def open_it(
        server: RegistryServer, name: str = "team/mugs", patience: Patience = FAST, **access: object
    ) -> Repository:
        reference = parse_place(server.place(name))
        assert isinstance(reference, RegistryReference)
        authorities = (server.ca,) if server.ca else ()
        given = {"authorities": authorities, "patience": patience, **access}
        return Repository(reference, Access(**given), tmp_path / "notes")  # type: ignore[arg-type]

    return open_it


@pytest.fixture
def log_in(home: Path) -> Callable[..., None]:
    """Writes Docker's configuration for a server, as `docker login` does."""

    def write(server: RegistryServer, user: str = USER, password: str = PASSWORD) -> None:
        entry = {"auth": b64encode(f"{user}:{password}".encode()).decode()}
        (home / ".docker").mkdir(exist_ok=True)
        (home / ".docker/config.json").write_text(json.dumps({"auths": {server.address: entry}}))

    return write


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A small run in a store of its own."""
    return small_run(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a folder to push to may come to lie."""
    return tmp_path / "folder"


@pytest.fixture
def second(tmp_path: Path) -> Store:
    """Another store, empty."""
    return Store(tmp_path / "second")
