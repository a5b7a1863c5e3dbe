"""Which Docker host an address or a context stands for, and which are refused."""

import hashlib
import json
from pathlib import Path
from typing import NoReturn

import pytest

from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.containers import connection
from mmdet_jetson.containers.connection import Connection
from mmdet_jetson.containers.docker_host import connect
from mmdet_jetson.containers.objects import ConnectionLost, DockerHostError

TLS = ("ca.pem", "cert.pem", "key.pem")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with Docker's configuration, which knows no context."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{}")
    return tmp_path


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return put_certificates(tmp_path / "certificates")


def put_certificates(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in TLS:
        (folder / name).write_text("not read before something connects")
    return folder


def add_context(home: Path, name: str, endpoint: object, *, tls: bool = False) -> None:
    """Make a context as ``docker context create`` does."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    meta = home / f".docker/contexts/meta/{identity}"
    meta.mkdir(parents=True)
    content = {"Name": name, "Metadata": {}, "Endpoints": endpoint}
    (meta / "meta.json").write_text(json.dumps(content))
    if tls:
        put_certificates(home / f".docker/contexts/tls/{identity}/docker")


@pytest.fixture
def nobody_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the SDK's client is made: it connects at once."""

    def connects(**options: object) -> NoReturn:
        raise AssertionError(f"it connects to {options['base_url']}")

    monkeypatch.setattr(connection, "_Client", connects)


NETWORK = (
    "tcp://10.0.0.9:2375",
    "TCP://10.0.0.9:2375",
    "Tcp://user@10.0.0.9:2375",
    "http://10.0.0.9:2375",
    "HTTP://10.0.0.9:2375/",
    "https://10.0.0.9:2376",
    "  tcp://[::1]:2375",
    "tcp://localhost:2375",
)


@pytest.mark.usefixtures("nobody_connects")
@pytest.mark.parametrize("address", NETWORK)
def test_a_docker_host_without_tls_is_refused(address: str, home: Path) -> None:
    with pytest.raises(DockerHostError, match=r"without TLS(.|\n)*DOCKER_CERT_PATH") as refused:
        Connection(address, None)
    assert address in refused.value.message


@pytest.mark.usefixtures("nobody_connects")
@pytest.mark.parametrize("address", NETWORK)
def test_so_is_one_that_a_context_names(address: str, home: Path, certificates: Path) -> None:
    add_context(home, "orin", {"docker": {"Host": address, "SkipTLSVerify": False}})
    with pytest.raises(DockerHostError, match=r"without TLS(.|\n)*context update orin"):
        Connection("orin", certificates)


@pytest.mark.usefixtures("nobody_connects")
def test_so_is_a_context_that_takes_any_certificate(home: Path) -> None:
    endpoint = {"docker": {"Host": "tcp://10.0.0.9:2376", "SkipTLSVerify": True}}
    add_context(home, "orin", endpoint, tls=True)
    with pytest.raises(DockerHostError, match="without TLS that checks both sides"):
        Connection("orin", None)


@pytest.mark.usefixtures("nobody_connects")
@pytest.mark.parametrize("variable", ["DOCKER_HOST", "DOCKER_CONTEXT", "currentContext"])
def test_so_is_one_that_is_not_named_on_the_command_line(variable: str, home: Path) -> None:
    add_context(home, "orin", {"docker": {"Host": "TCP://10.0.0.9:2375"}})
    (home / ".docker/config.json").write_text('{"currentContext": "orin"}')
    value = "HTTP://10.0.0.9:2375" if variable == "DOCKER_HOST" else "orin"
    with pytest.raises(DockerHostError, match="without TLS"):
        connect("", read_settings({variable: value}))


@pytest.mark.usefixtures("nobody_connects")
def test_certificates_do_not_make_http_safe(home: Path, certificates: Path) -> None:
    with pytest.raises(DockerHostError, match=r"without TLS(.|\n)*write tcp://"):
        Connection("http://10.0.0.9:2375", certificates)


@pytest.mark.usefixtures("nobody_connects")
@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.9:2376", "TCP://10.0.0.9:2376", "https://10.0.0.9:2376"]
)
def test_with_certificates_it_connects(address: str, home: Path, certificates: Path) -> None:
    with pytest.raises(AssertionError, match=f"it connects to {address}"):
        Connection(address, certificates)


@pytest.mark.usefixtures("nobody_connects")
@pytest.mark.parametrize("address", ["unix:///run/x.sock", "UNIX:///run/x.sock", "ssh://me@orin"])
def test_what_needs_no_certificates_ignores_them(address: str, home: Path) -> None:
    with pytest.raises(AssertionError, match=f"it connects to {address}"):
        Connection(address, home / "no such folder")


@pytest.mark.usefixtures("nobody_connects")
def test_a_context_brings_its_own_certificates(home: Path) -> None:
    endpoint = {"docker": {"Host": "tcp://10.0.0.9:2376", "SkipTLSVerify": False}}
    add_context(home, "orin", endpoint, tls=True)
    with pytest.raises(AssertionError, match=r"it connects to tcp://10\.0\.0\.9"):
        Connection("orin", None)


@pytest.mark.usefixtures("nobody_connects")
@pytest.mark.parametrize(
    ("option", "host", "context", "current", "reached"),
    [
        ("unix:///option", "unix:///host", "context", "current", "unix:///option"),
        ("", "unix:///host", "context", "current", "unix:///host"),
        ("", "", "context", "current", "unix:///context"),
        ("", "", "", "current", "unix:///current"),
        ("current", "unix:///host", "context", "current", "unix:///current"),
        ("", "", "default", "current", "unix:///var/run/docker.sock"),
        ("", "", "", "", "unix:///var/run/docker.sock"),
    ],
)
def test_the_order_of_precedence_is_that_of_dockers_command_line(
    home: Path, *, option: str, host: str, context: str, current: str, reached: str
) -> None:
    for name in ("context", "current"):
        add_context(home, name, {"docker": {"Host": f"unix:///{name}"}})
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": current or "default"}))
    settings = read_settings({"DOCKER_HOST": host, "DOCKER_CONTEXT": context})
    with pytest.raises(AssertionError, match=f"it connects to {reached}$"):
        connect(option, settings)


@pytest.mark.parametrize(
    "address", ["ssh://localhost:99999", "tcp://orin", "fd://3", "ftp://orin:21", "tcp://:x"]
)
def test_what_cannot_be_an_address_is_one_sentence(address: str, home: Path) -> None:
    with pytest.raises(DockerHostError, match="is not the address of a Docker host") as refused:
        Connection(address, None)
    assert not isinstance(refused.value, ConnectionLost)


@pytest.mark.parametrize("name", ["orin", "orin:2375", "10.0.0.9"])
def test_the_name_of_a_machine_is_neither(name: str, home: Path) -> None:
    with pytest.raises(DockerHostError, match=rf"neither the address(.|\n)*ssh://{name}"):
        Connection(name, None)


def test_a_context_for_no_docker_host_is_not_this_machine(home: Path) -> None:
    add_context(home, "cluster", {"kubernetes": {"Host": "https://10.0.0.9"}})
    with pytest.raises(DockerHostError, match="context 'cluster' names no Docker host"):
        Connection("cluster", None)


@pytest.mark.parametrize("meta", ["{", "{}", "[]"])
def test_a_damaged_context_in_use_is_one_sentence(meta: str, home: Path) -> None:
    add_context(home, "orin", {})
    next(home.rglob("meta.json")).write_text(meta)
    with pytest.raises(DockerHostError, match="contexts cannot be read"):
        connect("", read_settings({"DOCKER_CONTEXT": "orin"}))


def test_a_damaged_context_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    meta = tmp_path / ".docker/contexts/meta/abc"
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text("{")
    (tmp_path / ".docker/config.json").write_text(json.dumps({"currentContext": "gone"}))
    with pytest.raises(DockerHostError, match="ontext"):
        Connection("", None)
