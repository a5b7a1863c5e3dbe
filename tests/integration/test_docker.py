"""Stages in containers of Docker and Podman: what they cannot do, and what a killed client leaves."""

import contextlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trials
from docker_engines import lacks_podman, podman
from needed import absent

from mmdet_jetson.containers import docker_host as engine_module
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import VolumeMount
from mmdet_jetson.containers.workspace import CLIENT, WHOLE, Workspace
from mmdet_jetson.running.run_step import RunContext
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.store import Store

KILLS = 10
pytestmark = pytest.mark.timeout(240)
SECRET = "a file of the host"
ESCAPES = {
    "write into the image": ("open('/opt/mmdet_jetson/x', 'w')", "Read-only file system"),
    "write beside the job": ("open('/x', 'w')", "Read-only file system"),
    "write into its inputs": ("open(str(job.inputs['data'] / 'x'), 'w')", "Read-only file system"),
    "run a program of its own": (
        "import os, shutil; shutil.copy('/bin/true', '/tmp/x'); os.execv('/tmp/x', ['x'])",
        "Permission denied",
    ),
    "become root": ("import os; os.setuid(0)", "Operation not permitted"),
    "become root by a program that is allowed to": (
        "import subprocess; print(subprocess.run(['su', '-c', 'id'], stdin=-3, check=True))",
        "returned non-zero exit status",
    ),
    "make a device": ("import os; os.mknod('/tmp/x', 0o60666, os.makedev(8, 0))", "Operation not permitted"),
    "see the host's files": (f"open({str(Path(__file__))!r})", "No such file or directory"),
    "see the host's processes": ("import os; os.kill({host}, 0)", "No such process"),
    "find a network": (
        "import os; assert os.listdir('/sys/class/net') == ['lo']; import socket;"
        " socket.create_connection(('{gateway}', 22), 5)",
        "Network is unreachable",
    ),
    "fork without bound": (
        "import os, time\nfor _ in range(100000):\n    if os.fork() == 0: time.sleep(600)",
        "Resource temporarily unavailable",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(
    request: pytest.FixtureRequest, trial_engine: DockerHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerHost]:
    """This machine's own engine, and Podman behind the same kind of socket."""
    if request.param == "docker":
        yield trial_engine
        return
    if missing := lacks_podman():
        absent(missing)
    with podman(tmp_path_factory.mktemp("podman")) as address:
        engine = DockerHost(address)
        trials.build(engine)
        yield engine


@pytest.fixture
def store(engine: DockerHost, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "artifacts")
    yield store
    Workspace(engine, store.root).forget_inputs()


@pytest.fixture
def shop(engine: DockerHost, store: Store) -> RunContext:
    return trials.run_context(engine, store)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An input of 20 MB, which takes a moment to upload."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/large").write_bytes(random.Random(0).randbytes(20_000_000))
    (folder / "small").write_text("small")
    return folder


def left_behind(engine: DockerHost, store: Store) -> list[str]:
    """Whatever of this store's is on the engine, but for inputs that are whole."""
    shelf = Workspace(engine, store.root)
    left = [found.id for found in engine.containers({CLIENT: shelf.client})]
    for kind in ("input", "job", "resumable"):
        for volume in engine.volumes(shelf.volume(kind)):
            with engine.holder(VolumeMount(volume, "/input"), labels={}) as box:
                if engine.get(box, f"/input/{WHOLE}") is None:
                    left.append(volume)
    return left


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_stage_cannot(escape: str, shop: RunContext, data: Path) -> None:
    code, refusal = ESCAPES[escape]
    route = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    code = code.replace("{host}", str(os.getpid())).replace("{gateway}", route.split()[2])
    with pytest.raises(StageFailed, match=refusal):
        trials.run(shop, trials.step("code", folder=data, code=code))


# Tries to leave its mark in every folder that it finds, and tells where it could.
GREEDY = """
import os
marked = []
for folder, _, _ in os.walk("/"):
    try:
        open(os.path.join(folder, "mark"), "w").close()
        marked.append(folder)
    except OSError:
        pass
open("/job/output/marked", "w").write("\\n".join(marked))
"""


class Hostile:
    """Runs code when it is unpickled, as a checkpoint may."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return exec, (GREEDY,)  # type: ignore[return-value]


def test_a_hostile_checkpoint_reaches_only_its_outputs(
    engine: DockerHost, shop: RunContext, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "best.pth").write_bytes(pickle.dumps(Hostile()))
    code = "import pickle; pickle.load(open(str(job.inputs['data'] / 'best.pth'), 'rb'))"
    made = trials.run(shop, trials.step("code", folder=folder, code=code))
    marked = set(store.read(made, "marked").decode().splitlines())
    assert "/job/output" in marked
    outside = {each for each in marked if not each.startswith(("/job", "/tmp", "/dev/"))}
    assert outside == set()
    copied = trials.run(shop, trials.step("copy", folder=folder))
    store.checkout(copied, tmp_path / "copied")
    assert [path.name for path in (tmp_path / "copied/data").iterdir()] == ["best.pth"]
    assert left_behind(engine, store) == []


def test_what_links_outside_does_not_come_home(shop: RunContext, store: Store) -> None:
    code = "import os; os.symlink('/etc/passwd', '/job/output/link')"
    with pytest.raises(Exception, match="is a symbolic link"):
        trials.run(shop, trials.step("code", code=code))
    assert store.artifacts() == []


def test_lack_of_memory_is_told_from_a_kill(
    engine: DockerHost, shop: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "MEMORY_SHARE", 0.005)
    sure = r"memory ran out on the engine's machine"
    told = sure if engine.facts.tells_memory else "memory ran out, someone stopped it"
    with pytest.raises(StageFailed, match=told):
        trials.run(shop, trials.step("code", code="x = [bytearray(1 << 24) for _ in range(99)]"))
    told = "with memory left" if engine.facts.tells_memory else "someone stopped it"
    with pytest.raises(StageFailed, match=told):
        trials.run(shop, trials.step("code", code="import os; os.kill(os.getpid(), 9)"))


def test_a_failure_keeps_its_log_here_and_nothing_there(
    engine: DockerHost, shop: RunContext, store: Store
) -> None:
    with pytest.raises(StageFailed, match=r"last words:(.|\n)*ZeroDivisionError(.|\n)*read .*log"):
        trials.run(shop, trials.step("code", code="print('before'); 1 / 0"))
    (log,) = store.root.glob("jobs/code-*/log.txt")
    assert log.read_text().startswith("before\n")
    assert left_behind(engine, store) == []


def test_an_input_is_uploaded_once(engine: DockerHost, store: Store, data: Path) -> None:
    said: list[str] = []
    shop = trials.run_context(engine, store, said.append)
    for steps in (1, 2):
        trials.run(shop, trials.step("copy", folder=data, steps=steps))
    assert [line for line in said if "upload" in line] == [f"uploading data to {engine.facts.name}"]
    (data / "small").write_text("other")
    made = trials.run(shop, trials.step("copy", folder=data))
    assert len(said) == 2
    store.checkout(made, data.parent / "out")
    assert (data.parent / "out/data/small").read_text() == "other"
    assert Workspace(engine, store.root).forget_inputs() == 2


def test_files_of_the_engines_machine_are_read(engine: DockerHost) -> None:
    assert engine.host_file("/etc/hostname") == Path("/etc/hostname").read_bytes()
    assert engine.host_file("/etc/no-such-file") is None
    if engine.facts.product != "Podman":  # which looks inside the container for what a link names
        assert Path("/etc/os-release").is_symlink()
        assert engine.host_file("/etc/os-release") == Path("/etc/os-release").read_bytes()


def start(
    engine: DockerHost, store: Store, data: Path, **parameters: object
) -> "subprocess.Popen[str]":
    """Start a client of its own that runs the stage `copy`."""
    options = json.dumps({"folder": str(data), **parameters})
    return subprocess.Popen(
        [sys.executable, trials.__file__, str(store.root), engine.address, "", options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(trials.ROOT / "src")},
    )


def test_a_killed_client_leaves_nothing_for_long(engine: DockerHost, store: Store, data: Path) -> None:
    began = time.monotonic()
    assert start(engine, store, data, steps=10, seconds=0.05).wait() == 0
    whole = time.monotonic() - began
    chance = random.Random(0)
    for kill in range(KILLS):
        client = start(engine, store, data, steps=10, seconds=0.05, kill=kill)
        (data / "small").write_text(f"{kill}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(chance.uniform(0.2, whole))
        client.send_signal(signal.SIGKILL if kill % 2 else signal.SIGINT)
        client.communicate()
        time.sleep(0.5)  # what the engine had begun for it comes to light
        trials.run_context(engine, store)
        assert left_behind(engine, store) == []
        done = start(engine, store, data, steps=10, seconds=0.05, kill=kill)
        said = done.communicate()[0]
        assert done.returncode == 0, said
    assert list((store.root / "jobs").iterdir()) == []
    assert store.verify().problems == ()


def test_a_stage_ends_with_its_client(engine: DockerHost, store: Store, data: Path) -> None:
    client = start(engine, store, data, steps=1000, seconds=1)
    assert any("1/1000" in line for line in client.stdout or ())
    (found,) = engine.containers({CLIENT: Workspace(engine, store.root).client})
    client.kill()
    client.communicate()
    deadline = time.monotonic() + 30
    while running(engine, found.id) == "true":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    trials.run_context(engine, store)
    assert left_behind(engine, store) == []


def running(engine: DockerHost, container: str) -> str:
    return subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Running}}", container],
        env={**os.environ, "DOCKER_HOST": engine.address},
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_training_goes_on_where_its_client_was_killed(
    how: signal.Signals, engine: DockerHost, store: Store, data: Path
) -> None:
    client = start(engine, store, data, steps=40, seconds=0.1)
    assert any("1/40" in line for line in client.stdout or ())
    time.sleep(1)
    client.send_signal(how)
    client.communicate()
    again = start(engine, store, data, steps=40, seconds=0.1)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    (made,) = store.artifacts()
    assert int(store.read(made, "began")) > 1
