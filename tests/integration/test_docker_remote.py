"""Stages on another Docker host: over TLS, through a context, and when the connection is lost."""

import itertools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trials
from docker_hosts import (
    Relay,
    Remote,
    make_certificates,
    second_docker_host,
    ssh_to_this_machine,
    wait_until,
)
from needed import absent
from rich.console import Console

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.containers.docker_host import DockerHost, connect
from mmdet_jetson.containers.objects import ConnectionLost, DockerHostError
from mmdet_jetson.containers.workspace import CLIENT, Workspace
from mmdet_jetson.contract.job import Progress
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.store import Store

pytestmark = pytest.mark.timeout(240)
SOME, INFINITE = 5_000_000, float("inf")  # bytes; the input and the output have 20,000,000


@pytest.fixture(scope="module")
def remote(
    trial_docker_host: DockerHost,
    may_start_docker_hosts: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Remote]:
    with second_docker_host(tmp_path_factory.mktemp("host")) as remote:
        remote.load(trials.TAG)
        yield remote


@pytest.fixture(scope="module")
def host(remote: Remote) -> DockerHost:
    return DockerHost(remote.address, remote.certificates)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/large").write_bytes(random.Random(0).randbytes(20_000_000))
    return tmp_path / "data"


class Cutting(Display):
    """Cuts a connection when the stage has done some steps."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(Console(file=sys.stdout))
        self.relay = relay

    def progress(self, step: Step, progress: Progress) -> None:
        if progress.step == 10:
            self.relay.cut()


def left_behind(host: DockerHost, store: Store) -> list[str]:
    """The store's containers and volumes there, but for uploaded inputs."""
    workspace = Workspace(host, store.root)
    containers = [container.id for container in host.containers({CLIENT: workspace.client})]
    volumes = (host.volumes(workspace.volume(kind)) for kind in ("job", "resumable"))
    return [*containers, *itertools.chain(*volumes)]


def test_a_second_run_uploads_nothing(remote: Remote, store: Store, data: Path) -> None:
    sent = []
    for steps in (1, 2):
        relay = Relay(remote)
        with relay.open() as far:
            context = trials.run_context(DockerHost(far.address, far.certificates), store)
            trials.run(context, trials.copy_step(data, steps=steps))
        sent.append(relay.up)
    assert sent[0] > 20_000_000
    assert sent[1] < 100_000


@pytest.mark.parametrize(
    ("most_up", "most_down"),
    [(SOME, INFINITE), (INFINITE, INFINITE), (INFINITE, SOME)],
    ids=["upload", "run", "download"],
)
def test_a_lost_connection_leaves_both_sides_clean(  # noqa: PLR0917
    most_up: float, most_down: float, remote: Remote, host: DockerHost, store: Store, data: Path
) -> None:
    relay = Relay(remote, most_up, most_down)
    while_running = most_up == most_down
    step = trials.copy_step(data, may_resume=True, steps=20, seconds=0.05)
    with relay.open() as far:
        context = trials.run_context(DockerHost(far.address, far.certificates), store)
        if while_running:
            context = replace(context, listener=Cutting(relay))
        with pytest.raises((ConnectionLost, StageFailed)):
            trials.run(context, step)
    assert relay.is_cut
    assert store.artifacts() == []
    context = trials.run_context(host, store)
    assert left_behind(host, store) == []
    artifact = trials.run(context, step)
    store.checkout(artifact, data.parent / "out")
    assert (data.parent / "out/data/large").read_bytes() == (data / "large").read_bytes()
    if while_running:
        assert int((data.parent / "out/began").read_text()) >= 9
    assert left_behind(host, store) == []
    assert trials.unfinished(store) == []


def test_a_stage_ends_when_its_connection_is_lost(
    remote: Remote, host: DockerHost, store: Store, data: Path
) -> None:
    relay = Relay(remote)
    with relay.open() as far:
        context = trials.run_context(DockerHost(far.address, far.certificates), store)
        context = replace(context, listener=Cutting(relay))
        with pytest.raises((ConnectionLost, StageFailed)):
            trials.run(context, trials.copy_step(data, steps=1000, seconds=0.1))
    label = {CLIENT: Workspace(host, store.root).client}
    wait_until(lambda: not any(is_running(remote, c.id) for c in host.containers(label)), 120)


def is_running(remote: Remote, container: str) -> bool:
    words = ["docker", "inspect", "--format", "{{.State.Running}}", container]
    done = subprocess.run(words, env=remote.environ, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "true"


def test_a_context_names_it(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    names = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
    files = ",".join(f"{name}={remote.certificates / file}" for name, file in names.items())
    words = ["docker", "context", "create", "far", "--docker", f"host={remote.address},{files}"]
    subprocess.run(words, capture_output=True, check=True)
    (tmp_path / "config.json").write_text("{}")
    named = connect("", read_settings({"DOCKER_CONTEXT": "far"}))
    assert named.address == remote.address
    subprocess.run(["docker", "context", "use", "far"], capture_output=True, check=True)
    assert DockerHost("far").address == DockerHost().address == remote.address
    with pytest.raises(DockerHostError, match=r"'near' is neither .*\n.*far"):
        DockerHost("near")


@pytest.mark.parametrize("options", ["", ",skip-tls-verify=true"], ids=["plain", "any"])
def test_a_context_that_does_not_check_is_refused(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    if options:
        certificates = remote.certificates
        options += f",cert={certificates / 'cert.pem'},key={certificates / 'key.pem'}"
        options += f",ca={certificates / 'ca.pem'}"
    words = ["docker", "context", "create", "far", f"--docker=host={remote.address}{options}"]
    subprocess.run(words, capture_output=True, check=True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DockerHostError, match="without TLS that checks both sides"):
        connect("", read_settings({"DOCKER_CONTEXT": "far"}))


@pytest.mark.usefixtures("trial_docker_host")
def test_ssh_reaches_it(
    store: Store, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("sshd"):
        absent("no SSH server here (openssh-server)")
    with ssh_to_this_machine(tmp_path / "ssh") as (address, programs):
        monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
        host = DockerHost(address)
        artifact = trials.run(trials.run_context(host, store), trials.copy_step(data, steps=3))
        assert Workspace(host, store.root).forget_inputs() == 1
        assert left_behind(host, store) == []
    store.checkout(artifact, tmp_path / "out")
    assert (tmp_path / "out/data/large").read_bytes() == (data / "large").read_bytes()


def test_tcp_needs_certificates_and_the_right_ones(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(DockerHostError, match="without TLS"):
        DockerHost(remote.address)
    with pytest.raises(DockerHostError, match="certificate verify failed"):
        DockerHost(remote.address, make_certificates(tmp_path / "other"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DockerHostError, match="empty"):
        DockerHost(remote.address, tmp_path / "empty")
