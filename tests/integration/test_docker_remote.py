"""Stages on another machine's engine: over TLS, through a context, and when the line is cut."""

import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trials
from docker_engines import (
    Line,
    Remote,
    make_certificates,
    second_engine,
    ssh_to_this_machine,
    wait_until,
)
from needed import absent

from mmdet_jetson.cli.progress import Display
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import ConnectionLost, DockerHostError
from mmdet_jetson.containers.workspace import CLIENT, Workspace
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.runtimes.outcome import Progress, StageFailed
from mmdet_jetson.store import Store

pytestmark = pytest.mark.timeout(240)
SOME = 5_000_000  # bytes: a quarter of the input, and of the output


@pytest.fixture(scope="module")
def remote(
    trial_engine: DockerHost, may_start_engines: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote]:
    with second_engine(tmp_path_factory.mktemp("engine")) as remote:
        remote.load(trials.TAG)
        yield remote


@pytest.fixture(scope="module")
def engine(remote: Remote) -> DockerHost:
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
    """Cuts a line when the stage has done some steps."""

    def __init__(self, display: Display, line: Line) -> None:
        super().__init__(display.console)
        self.line = line

    def progress(self, step: Step, progress: Progress) -> None:
        if progress.step == 10:
            self.line.cut()


def ours(engine: DockerHost, store: Store) -> list[str]:
    """Our containers and volumes there, but for uploaded inputs."""
    shelf = Workspace(engine, store.root)
    containers = [found.id for found in engine.containers({CLIENT: shelf.client})]
    volumes = (engine.volumes(shelf.volume(kind)) for kind in ("job", "resumable"))
    return [*containers, *itertools.chain(*volumes)]


def test_a_second_run_uploads_nothing(remote: Remote, store: Store, data: Path) -> None:
    sent = []
    for steps in (1, 2):
        line = Line(remote)
        with line.open() as far:
            shop = trials.run_context(DockerHost(far.address, far.certificates), store)
            trials.run(shop, trials.step("copy", folder=data, steps=steps))
        sent.append(line.up)
    assert sent[0] > 20_000_000
    assert sent[1] < 100_000


@pytest.mark.parametrize(
    "ends", [{"most_up": SOME}, {}, {"most_down": SOME}], ids=["upload", "run", "download"]
)
def test_a_cut_line_leaves_both_sides_clean(
    ends: dict[str, int], remote: Remote, engine: DockerHost, store: Store, data: Path
) -> None:
    line = Line(remote, **ends)
    step = trials.step("copy", folder=data, resumable=True, steps=20, seconds=0.05)
    with line.open() as far:
        shop = trials.run_context(DockerHost(far.address, far.certificates), store)
        shop = replace(shop, listener=Cutting(shop.listener, line) if not ends else shop.listener)
        with pytest.raises((ConnectionLost, StageFailed)):
            trials.run(shop, step)
    assert line.is_cut
    assert store.artifacts() == []
    shop = trials.run_context(engine, store)
    assert ours(engine, store) == []
    made = trials.run(shop, step)
    store.checkout(made, data.parent / "out")
    assert (data.parent / "out/data/large").read_bytes() == (data / "large").read_bytes()
    if not ends:
        assert int((data.parent / "out/began").read_text()) >= 9
    assert ours(engine, store) == []
    assert list((store.root / "jobs").iterdir()) == []


def test_a_stage_ends_when_its_line_is_cut(
    remote: Remote, engine: DockerHost, store: Store, data: Path
) -> None:
    line = Line(remote)
    with line.open() as far:
        shop = trials.run_context(DockerHost(far.address, far.certificates), store)
        shop = replace(shop, listener=Cutting(shop.listener, line))
        with pytest.raises((ConnectionLost, StageFailed)):
            trials.run(shop, trials.step("copy", folder=data, steps=1000, seconds=0.1))
    label = {CLIENT: Workspace(engine, store.root).client}
    wait_until(lambda: not any(is_running(remote, c.id) for c in engine.containers(label)), 30)


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
    subprocess.run(["docker", "context", "use", "far"], capture_output=True, check=True)
    assert DockerHost("far").address == DockerHost().address == remote.address
    with pytest.raises(DockerHostError, match=r"'near' is neither .*\n.*far"):
        DockerHost("near")


@pytest.mark.usefixtures("trial_engine")
def test_ssh_reaches_it(
    store: Store, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("sshd"):
        absent("no SSH server here (openssh-server)")
    with ssh_to_this_machine(tmp_path / "ssh") as (address, programs):
        monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
        engine = DockerHost(address)
        made = trials.run(trials.run_context(engine, store), trials.step("copy", folder=data, steps=3))
        assert Workspace(engine, store.root).forget_inputs() == 1
        assert ours(engine, store) == []
    store.checkout(made, tmp_path / "out")
    assert (tmp_path / "out/data/large").read_bytes() == (data / "large").read_bytes()


def test_tcp_needs_certificates_and_the_right_ones(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(DockerHostError, match="without TLS"):
        DockerHost(remote.address)
    with pytest.raises(DockerHostError, match="certificate verify failed"):
        DockerHost(remote.address, make_certificates(tmp_path / "other"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DockerHostError, match="empty"):
        DockerHost(remote.address, tmp_path / "empty")
