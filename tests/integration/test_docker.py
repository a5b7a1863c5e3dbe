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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trials
from docker_hosts import lacks_podman, podman
from needed import absent
from trial.copy import CopyParameters

from mmdet_jetson import tarballs
from mmdet_jetson.containers import hardening
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.host_files import read_file
from mmdet_jetson.containers.objects import ContainerSpec, VolumeMount
from mmdet_jetson.containers.uploads import WHOLE
from mmdet_jetson.containers.workspace import CLIENT, Workspace
from mmdet_jetson.fetching.digests import tree_files
from mmdet_jetson.planning.steps import Step, StepOutput
from mmdet_jetson.running.run_step import RunContext
from mmdet_jetson.runtimes.docker import DockerRuntime
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.store import Store

KILLS = 10
pytestmark = pytest.mark.timeout(240)
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
def host(
    request: pytest.FixtureRequest,
    trial_docker_host: DockerHost,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DockerHost]:
    """This machine's own Docker, and Podman behind the same kind of socket."""
    if request.param == "docker":
        yield trial_docker_host
        return
    if missing := lacks_podman():
        absent(missing)
    with podman(tmp_path_factory.mktemp("podman")) as address:
        host = DockerHost(address)
        trials.build(host)
        yield host


@pytest.fixture
def store(host: DockerHost, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "artifacts")
    yield store
    Workspace(host, store.root).forget_inputs()


@pytest.fixture
def context(host: DockerHost, store: Store) -> RunContext:
    return trials.run_context(host, store)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An input of 20 MB, which takes a moment to upload."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/large").write_bytes(random.Random(0).randbytes(20_000_000))
    (folder / "small").write_text("small")
    return folder


def left_behind(host: DockerHost, store: Store) -> list[str]:
    """Whatever this store has on the Docker host, but for inputs that are whole."""
    workspace = Workspace(host, store.root)
    left = [container.id for container in host.containers({CLIENT: workspace.client})]
    for kind in ("input", "job", "resumable"):
        for volume in host.volumes(workspace.volume(kind)):
            with host.never_started(VolumeMount(volume, "/input"), labels={}) as container:
                if host.get(container, f"/input/{WHOLE}") is None:
                    left.append(volume)
    return left


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_stage_cannot(escape: str, context: RunContext, data: Path) -> None:
    code, refusal = ESCAPES[escape]
    route = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    code = code.replace("{host}", str(os.getpid())).replace("{gateway}", route.split()[2])
    with pytest.raises(StageFailed, match=refusal):
        trials.run(context, trials.code_step(code, data))


def test_an_environment_variable_of_an_image_is_in_its_identity(
    host: DockerHost, store: Store, tmp_path: Path
) -> None:
    """Such images have the same layers; one that was built again has its results."""

    def identity(value: str, label: str) -> str:
        lines = f"FROM {trials.TAG}\nENV X={value}\nLABEL commit={label}\n"
        (tmp_path / "Dockerfile").write_text(lines)
        context = tarballs.archive(tarballs.file(tmp_path / "Dockerfile", "Dockerfile"))
        image = host.build(
            context, dockerfile="Dockerfile", tag="mmdet-jetson/env:1", on_line=lambda _: None
        )
        layers.add(image.layers)
        runtime = DockerRuntime(Workspace(host, store.root, print), lambda _: image, lambda _: True)
        return runtime.identity(trials.code_step(""))

    layers: set[tuple[str, ...]] = set()
    try:
        first, other, again = identity("1", "a"), identity("2", "a"), identity("1", "b")
    finally:
        host.remove_image("mmdet-jetson/env:1")
    assert first == again != other
    assert len(layers) == 1


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

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (GREEDY,)


def test_a_hostile_checkpoint_reaches_only_its_outputs(
    host: DockerHost, context: RunContext, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "best.pth").write_bytes(pickle.dumps(Hostile()))
    code = "import pickle; pickle.load(open(str(job.inputs['data'] / 'best.pth'), 'rb'))"
    artifact = trials.run(context, trials.code_step(code, folder))
    marked = set(store.read(artifact, "marked").decode().splitlines())
    assert "/job/output" in marked
    outside = {each for each in marked if not each.startswith(("/job", "/tmp", "/dev/"))}
    assert outside == set()
    copied = trials.run(context, trials.copy_step(folder))
    store.checkout(copied, tmp_path / "copied")
    assert [path.name for path in (tmp_path / "copied/data").iterdir()] == ["best.pth"]
    assert left_behind(host, store) == []


def test_an_output_with_a_link_is_refused(context: RunContext, store: Store) -> None:
    code = "import os; os.symlink('/etc/passwd', '/job/output/link')"
    with pytest.raises(Exception, match="is a symbolic link"):
        trials.run(context, trials.code_step(code))
    assert store.artifacts() == []


def test_lack_of_memory_is_told_from_a_kill(
    host: DockerHost, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening, "MEMORY_SHARE", 0.005)
    sure = "the Docker host ran out of memory"
    told = sure if host.facts.tells_memory else "memory ran out, someone stopped it"
    with pytest.raises(StageFailed, match=told):
        trials.run(context, trials.code_step("x = [bytearray(1 << 24) for _ in range(99)]"))
    told = "while memory was left" if host.facts.tells_memory else "someone stopped it"
    with pytest.raises(StageFailed, match=told):
        trials.run(context, trials.code_step("import os; os.kill(os.getpid(), 9)"))


def test_a_failure_keeps_its_log_here_and_nothing_there(
    host: DockerHost, context: RunContext, store: Store
) -> None:
    with pytest.raises(
        StageFailed, match=r"the end of its log:(.|\n)*ZeroDivisionError(.|\n)*read .*log"
    ):
        trials.run(context, trials.code_step("print('before'); 1 / 0"))
    (log,) = store.root.glob("jobs/code-*/log.txt")
    assert log.read_text().startswith("before\n")
    assert left_behind(host, store) == []


def test_an_input_is_uploaded_once(host: DockerHost, store: Store, data: Path) -> None:
    said: list[str] = []
    context = trials.run_context(host, store, said.append)
    for steps in (1, 2):
        trials.run(context, trials.copy_step(data, steps=steps))
    assert [line for line in said if "upload" in line] == [f"uploading data to {host.facts.name}"]
    (data / "small").write_text("other")
    artifact = trials.run(context, trials.copy_step(data))
    assert [line for line in said[1:] if "upload" in line] == [
        f"copying 1 of 2 files of data on {host.facts.name} from an earlier upload",
        f"uploading 1 of 2 files of data to {host.facts.name}",
    ]
    store.checkout(artifact, data.parent / "out")
    assert (data.parent / "out/data/small").read_text() == "other"
    assert Workspace(host, store.root).forget_inputs() == 2


def test_what_is_damaged_there_is_sent_again(host: DockerHost, store: Store, data: Path) -> None:
    said: list[str] = []
    context = trials.run_context(host, store, said.append)
    trials.run(context, trials.copy_step(data))
    workspace = Workspace(host, store.root)
    (volume,) = workspace.unused_inputs()
    (data.parent / "wrong").write_bytes(bytes((data / "sub/large").stat().st_size))
    wrong = tarballs.file(data.parent / "wrong", "content/sub/large")
    with host.never_started(VolumeMount(volume, "/input", read_only=False), labels={}) as there:
        host.put(there, "/input", tarballs.archive(wrong))
    (data / "more").write_text("more")
    artifact = trials.run(context, trials.copy_step(data))
    assert said[-1] == f"uploading 2 of 3 files of data to {host.facts.name}"
    store.checkout(artifact, data.parent / "out")
    assert tree_of(data.parent / "out/data") == tree_of(data)
    assert left_behind(host, store) == []


def test_a_large_artifact_is_shared_here_and_taken_there(
    host: DockerHost, store: Store, data: Path
) -> None:
    """A stage takes pictures without a copy, and the next reads them from a shared checkout."""
    said: list[str] = []
    context = trials.run_context(host, store, said.append)
    for number in range(3):
        content = random.Random(number).randbytes(12_000_000)
        (data / f"sub/{number}").write_bytes(content)
    for turn in range(2):
        (data / f"sub/more-{turn}").write_text(f"more {turn}")
        made = trials.run(context, taking_step(data))
        assert any(layer.tree for layer in made.layers)
        step = Step(
            stage=trials.COPY, parameters=CopyParameters(), inputs={"data": StepOutput("code")}
        )
        copied = trials.run(context, step, {"code": made})
        store.checkout(copied, data.parent / f"out-{turn}")
        assert tree_of(data.parent / f"out-{turn}/data/pictures") == tree_of(data / "sub")
    copies = [line for line in said if line.startswith("copying")]
    name = host.facts.name
    # What the first stage had is copied for the second, too: its pictures are the same.
    assert copies == [
        f"copying {copied} files of data on {name} from an earlier upload"
        for copied in ("5 of 5", "6 of 7", "6 of 6")
    ]


def taking_step(folder: Path) -> Step:
    """A step whose artifact is the folder ``sub`` of its input, of which it copies nothing."""
    code = (
        "import pathlib; from mmdet_jetson.contract.taken import read_digests, write_taken\n"
        "job_folder = pathlib.Path('/job'); known = read_digests(job_folder)['data']\n"
        "paths = [path for path in known if path.startswith('sub/')]\n"
        "write_taken(job_folder, {'pictures/' + path[4:]: ('data', path) for path in paths})"
    )
    cache = folder.parent / "digests.sqlite"
    given = replace(trials.folder_input(folder), files=lambda key: tree_files(folder, cache, key))
    return replace(trials.code_step(code), inputs={"data": given})


def tree_of(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder by its path there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_no_gc_takes_an_input_from_a_run(
    host: DockerHost, store: Store, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gc = Workspace(DockerHost(host.address), store.root)  # knows nothing of the other's locks
    create = DockerHost.create
    taken: list[tuple[list[str], int]] = []

    def create_after_gc(self: DockerHost, spec: ContainerSpec) -> str:
        taken.append((gc.unused_inputs(), gc.forget_inputs()))
        return create(self, spec)

    monkeypatch.setattr(DockerHost, "create", create_after_gc)
    said: list[str] = []
    for steps in (1, 2):
        context = trials.run_context(host, store, said.append)
        artifact = trials.run(context, trials.copy_step(data, steps=steps))
        store.checkout(artifact, data.parent / f"out-{steps}")
        assert (data.parent / f"out-{steps}/data/small").read_text() == "small"
    assert taken == [([], 0), ([], 0)]
    assert len(said) == 1
    assert len(gc.unused_inputs()) == 1
    assert gc.forget_inputs() == 1
    assert gc.unused_inputs() == []


def test_files_of_the_docker_hosts_machine_are_read(host: DockerHost) -> None:
    assert read_file(host, "/etc/hostname") == Path("/etc/hostname").read_bytes()
    assert read_file(host, "/etc/no-such-file") is None
    if host.facts.product != "Podman":  # which looks inside the container for what a link names
        assert Path("/etc/os-release").is_symlink()
        assert read_file(host, "/etc/os-release") == Path("/etc/os-release").read_bytes()


def start(
    host: DockerHost, store: Store, data: Path, **parameters: float
) -> "subprocess.Popen[str]":
    """Start a client of its own that runs the stage `copy`."""
    arguments = [str(store.root), host.address, "", str(data), json.dumps(parameters)]
    return subprocess.Popen(
        [sys.executable, trials.__file__, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(trials.ROOT / "src")},
    )


def test_a_killed_client_leaves_nothing_for_long(
    host: DockerHost, store: Store, data: Path
) -> None:
    began = time.monotonic()
    assert start(host, store, data, steps=10, seconds=0.05).wait() == 0
    whole = time.monotonic() - began
    chance = random.Random(0)
    for kill in range(KILLS):
        client = start(host, store, data, steps=10, seconds=0.05, kill=kill)
        (data / "small").write_text(f"{kill}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(chance.uniform(0.2, whole))
        client.send_signal(signal.SIGKILL if kill % 2 else signal.SIGINT)
        client.communicate()
        time.sleep(0.5)  # what the Docker host had begun for it is there by then
        trials.run_context(host, store)
        assert left_behind(host, store) == []
        done = start(host, store, data, steps=10, seconds=0.05, kill=kill)
        said = done.communicate()[0]
        assert done.returncode == 0, said
    assert trials.unfinished(store) == []
    assert store.verify().problems == ()


def test_a_stage_ends_with_its_client(host: DockerHost, store: Store, data: Path) -> None:
    client = start(host, store, data, steps=1000, seconds=1)
    assert any("1/1000" in line for line in client.stdout or ())
    (container,) = host.containers({CLIENT: Workspace(host, store.root).client})
    client.kill()
    client.communicate()
    deadline = time.monotonic() + 120
    while running(host, container.id) == "true":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    trials.run_context(host, store)
    assert left_behind(host, store) == []


def running(host: DockerHost, container: str) -> str:
    return subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Running}}", container],
        env={**os.environ, "DOCKER_HOST": host.address},
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_training_goes_on_where_its_client_was_killed(
    how: signal.Signals, host: DockerHost, store: Store, data: Path
) -> None:
    client = start(host, store, data, steps=40, seconds=0.1)
    assert any("1/40" in line for line in client.stdout or ())
    time.sleep(1)
    client.send_signal(how)
    client.communicate()
    again = start(host, store, data, steps=40, seconds=0.1)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    (artifact,) = store.artifacts()
    assert int(store.read(artifact, "began")) > 1
