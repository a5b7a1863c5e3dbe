import platform
import shutil
from pathlib import Path

import pytest

from mmdet_jetson.config import settings as settings_module
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.errors import ConfigError


def test_defaults_lie_in_the_project_and_the_users_cache() -> None:
    settings = read_settings({}, Path("/project"))
    assert settings.artifacts == Path("/project/artifacts")
    assert settings.cache.name == "mmdet-jetson"
    assert (settings.mirrors, settings.offline, settings.python38) == ((), False, "")
    assert (settings.docker_host, settings.docker_certificates) == ("", None)


def test_the_environment_decides() -> None:
    settings = read_settings(
        {
            "MMDET_JETSON_CACHE": "/c",
            "MMDET_JETSON_ARTIFACTS": "/a",
            "MMDET_JETSON_MIRRORS": "/mirror https://host/m",
            "MMDET_JETSON_OFFLINE": "1",
            "MMDET_JETSON_PYTHON38": "/py",
            "MMDET_JETSON_TRAIN": "cu113",
            "DOCKER_HOST": "tcp://jetson:2376",
            "DOCKER_CERT_PATH": "/certificates",
        }
    )
    assert (settings.cache, settings.artifacts) == (Path("/c"), Path("/a"))
    assert settings.mirrors == ("/mirror", "https://host/m")
    assert (settings.offline, settings.python38, settings.variant) == (True, "/py", "cu113")
    assert settings.docker_host == "tcp://jetson:2376"
    assert settings.docker_certificates == Path("/certificates")


@pytest.mark.parametrize(
    ("host", "context", "named"),
    [("", "orin", "orin"), ("ssh://pc", "orin", "ssh://pc"), ("", "", "")],
)
def test_docker_host_outranks_docker_context(host: str, context: str, named: str) -> None:
    settings = read_settings({"DOCKER_HOST": host, "DOCKER_CONTEXT": context})
    assert settings.docker_host == named


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    names = ("MMDET_JETSON_CACHE", "MMDET_JETSON_ARTIFACTS", "DOCKER_CERT_PATH")
    settings = read_settings(dict.fromkeys(names, "~/here"))
    folders = (settings.cache, settings.artifacts, settings.docker_certificates)
    assert set(folders) == {Path("/home/me/here")}


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("1", True)])
def test_offline_is_on_or_off(value: str, offline: bool) -> None:
    assert read_settings({"MMDET_JETSON_OFFLINE": value}).offline == offline


@pytest.mark.parametrize(
    ("value", "ci"), [("true", True), ("True", True), ("1", True), ("", False), ("false", False)]
)
def test_ci_is_what_ci_systems_say(value: str, ci: bool) -> None:
    assert read_settings({"CI": value}).ci == ci
    assert not read_settings({}).ci


@pytest.mark.parametrize("value", ["false", "maybe"])
def test_offline_is_nothing_else(value: str) -> None:
    with pytest.raises(ConfigError, match=f"MMDET_JETSON_OFFLINE is '{value}'"):
        read_settings({"MMDET_JETSON_OFFLINE": value})


def test_a_variant_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="MMDET_JETSON_TRAIN is 'cu118'"):
        read_settings({"MMDET_JETSON_TRAIN": "cu118"})


def test_bases_come_from_registries_unless_stand_ins_are_asked_for() -> None:
    assert read_settings({}).bases == "registry"
    assert read_settings({"MMDET_JETSON_BASES": "stand-in"}).bases == "stand-in"
    with pytest.raises(ConfigError, match="MMDET_JETSON_BASES is 'local'"):
        read_settings({"MMDET_JETSON_BASES": "local"})


def test_builds_trust_what_this_machine_does_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "system.pem"
    monkeypatch.setattr(settings_module, "SYSTEM_CERTIFICATES", ("/absent.pem", str(system)))
    assert read_settings({}).certificates is None
    system.touch()
    assert read_settings({}).certificates == system
    machine = {"SSL_CERT_FILE": "/machine.pem"}
    assert read_settings(machine).certificates == Path("/machine.pem")
    own = {**machine, "MMDET_JETSON_CERTIFICATES": "/own.pem"}
    assert read_settings(own).certificates == Path("/own.pem")


@pytest.mark.parametrize(("machine", "variant"), [("x86_64", "cu113"), ("aarch64", "cpu")])
def test_cuda_11_3_is_for_x86_64_only(
    monkeypatch: pytest.MonkeyPatch, machine: str, variant: str
) -> None:
    """A Jetson has /dev/nvidia0 and nvidia-smi from JetPack 6 on, and no such packages."""
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert read_settings({"MMDET_JETSON_CACHE": "/c"}).variant == variant
