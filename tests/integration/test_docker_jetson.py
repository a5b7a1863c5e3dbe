"""An engine for a Jetson, built on another Docker host; its arm64 code is emulated here."""

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Commands, new_commands
from docker_hosts import Relay, Remote, second_docker_host
from needed import absent

from mmdet_jetson.config.images import StandIn
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.images import find
from mmdet_jetson.store import Store

TARGET = "jetson-onnxruntime"
STAND_INS = {"MMDET_JETSON_BASES": "stand-in"}


@pytest.fixture(scope="module")
def remote(
    local_docker_host: DockerHost,
    may_start_docker_hosts: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Remote]:
    """A second Docker host with the Jetson image, as a machine without a registry gets it."""
    settings = read_settings({**os.environ, **STAND_INS})
    image = find(local_docker_host, "jp501", settings)
    if image is None:
        absent("no image jp501 here: invoke images.build")
    with second_docker_host(tmp_path_factory.mktemp("host")) as remote:
        remote.load(image.reference, StandIn.reference("arm64"))
        yield remote


def build(commands: Commands, remote: Remote, *options: str) -> "subprocess.CompletedProcess[str]":
    env = {**STAND_INS, "DOCKER_CERT_PATH": str(remote.certificates)}
    command = ("build-jetson-engine", "--target", TARGET, "--docker-host", remote.address)
    return commands.run(*command, *options, env=env)


@pytest.fixture(scope="module")
def built(remote: Remote, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The commands after a whole `build-jetson-engine`."""
    commands = new_commands(tmp_path_factory.mktemp("commands"))
    done = build(commands, remote, "--untested")
    assert done.returncode == 0, done.stdout + done.stderr
    return commands


def test_its_evidence_says_that_it_was_emulated(built: Commands) -> None:
    store = Store(built.artifacts)
    for step in ("engine", "evaluate", "profile"):
        artifact = store.find(f"tiny.{step}-{TARGET}")
        assert artifact, step
        assert artifact.provenance.facts["emulated"] is (platform.machine() != "aarch64")
        assert artifact.provenance.facts["image_tested"] is False
        assert artifact.provenance.facts["stand_in"] is True
        if step != "engine":
            assert artifact.provenance.parameters["evidence"] == "emulated, stand-in base"


def test_a_second_run_uploads_nothing(built: Commands, remote: Remote) -> None:
    relay = Relay(remote)
    with relay.open() as far:
        again = build(built, far, "--untested", "--set", "evaluate.pictures=3")
    assert again.returncode == 0, again.stderr
    assert f"✓ evaluate-{TARGET}" in again.stderr
    assert "upload" not in again.stderr
    assert relay.up < 200_000


def test_an_untested_image_is_refused(built: Commands, remote: Remote) -> None:
    done = build(built, remote, "--set", "evaluate.pictures=5")
    assert done.returncode == 1
    assert "has not passed its own tests" in done.stderr


@pytest.mark.skipif(platform.machine() == "aarch64", reason="this machine may fit")
def test_a_machine_that_does_not_fit_is_refused_before_anything_runs(
    remote: Remote, tmp_path: Path
) -> None:
    commands = new_commands(tmp_path)
    command = ("build-jetson-engine", "--target", "agx-orin-jp501", "--docker-host", remote.address)
    env = {**STAND_INS, "DOCKER_CERT_PATH": str(remote.certificates)}
    done = commands.run(*command, env=env)
    assert done.returncode == 1
    assert "does not fit target 'agx-orin-jp501'" in done.stderr
    assert "amd64" in done.stderr
    assert Store(commands.artifacts).artifacts() == []
