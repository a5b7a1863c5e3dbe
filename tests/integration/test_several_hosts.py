"""Four targets on three Docker hosts at once: two engines of Docker on this machine, and Podman.

With MMDET_JETSON_TEST_HOSTS=SECONDS a build takes so long, instead of 3 s.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import several_hosts
import trials
from docker_hosts import (
    Remote,
    kill_docker_host,
    lacks_podman,
    podman,
    second_docker_host,
    wait_until,
)
from needed import absent
from several_hosts import Apart, Heard, Known

from mmdet_jetson.config.images import StandIn
from mmdet_jetson.containers import device_lock
from mmdet_jetson.containers.device_lock import find_holder, hold_device
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import ContainerSpec, DockerHostError
from mmdet_jetson.containers.workspace import CLIENT, KIND, STAGE, Workspace
from mmdet_jetson.contract.job import Progress
from mmdet_jetson.environments import timing
from mmdet_jetson.environments.timing import Holder
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Store

TARGETS = ("a", "b", "c", "d")
SECONDS = float(os.environ.get("MMDET_JETSON_TEST_HOSTS", "3"))
pytestmark = pytest.mark.timeout(600 + 10 * SECONDS)
US = Holder("ann@pc", "balloon", "profile-orin")
HOLDING = """
import sys
from pathlib import Path
import trials
from mmdet_jetson.containers import device_lock
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import ContainerSpec, DockerHostError
from mmdet_jetson.environments.timing import Holder
address, certificates = sys.argv[1:]
host = DockerHost(address, Path(certificates) if certificates else None)
device_lock.LIVES = device_lock.LIVES.replace(str(device_lock.SILENCE), "4")
device_lock.BEAT = 1
us = Holder("bob@pc", "other", "profile-x")
with device_lock.hold_device(host, host.find_image(trials.TAG).id, us, print):
    print("held", flush=True)
    sys.stdin.read()
"""


@dataclass
class Site:
    """Three Docker hosts, and the folder of the one that can be killed."""

    docker: Known
    second: Known
    podman: Known
    folder: Path
    remote: Remote

    @property
    def hosts(self) -> dict[str, Known]:
        return {"docker": self.docker, "second": self.second, "podman": self.podman}


def connected(known: Known) -> DockerHost:
    return DockerHost(known.address, Path(known.certificates) if known.certificates else None)


@pytest.fixture(scope="module")
def site(
    trial_docker_host: DockerHost,
    may_start_docker_hosts: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    if missing := lacks_podman():
        absent(missing)
    folder = tmp_path_factory.mktemp("second")
    with contextlib.ExitStack() as started:
        remote = started.enter_context(second_docker_host(folder))
        remote.load(StandIn.reference("amd64"))
        third = started.enter_context(podman(tmp_path_factory.mktemp("podman")))
        site = Site(
            Known(trial_docker_host.address, "", ["a"]),
            Known(remote.address, str(remote.certificates), ["b"]),
            Known(third, "", ["c", "d"]),
            folder,
            remote,
        )
        for known in (site.second, site.podman):
            trials.build(connected(known))
        yield site


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may time something on this machine at the same time."""
    monkeypatch.setattr(timing, "FOLDERS", (tmp_path,))


@pytest.fixture
def store(site: Site, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "artifacts")
    yield store
    for known in site.hosts.values():
        with contextlib.suppress(DockerHostError):  # one was killed
            Workspace(connected(known), store.root).forget_inputs()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/small").write_bytes(os.urandom(100_000))
    return tmp_path / "data"


def running(site: Site, store: Store) -> list[str]:
    """The containers of stages that run on any host."""
    return [
        each.id
        for known in site.hosts.values()
        for each in connected(known).containers(
            {CLIENT: Workspace(connected(known), store.root).client}
        )
        if (found := connected(known).find_container(each.id)) and found.state == "running"
    ]


@contextlib.contextmanager
def client(known: Known) -> Iterator["subprocess.Popen[str]"]:
    """Another client, which holds the lock of a Docker host until its input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, known.address, known.certificates],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(30)


def left_behind(site: Site, store: Store) -> list[str]:
    """What the store has on the hosts, but for uploaded inputs, and any lock."""
    found = []
    for known in site.hosts.values():
        host = connected(known)
        workspace = Workspace(host, store.root)
        found += [each.id for each in host.containers({CLIENT: workspace.client})]
        found += [
            name for kind in ("job", "resumable") for name in host.volumes(workspace.volume(kind))
        ]
        found += [device_lock.NAME] if host.find_container(device_lock.NAME) else []
    return found


def test_three_hosts_take_little_longer_than_the_one_with_most_to_do(
    site: Site, store: Store, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As three machines; of one machine's hosts nothing is timed beside anything else."""
    steps = several_hosts.steps_of(data, TARGETS, SECONDS)
    heard, began = Heard(), time.monotonic()
    several_hosts.run(steps, several_hosts.context_of(store, site.hosts, heard, kind=Apart))
    total = time.monotonic() - began
    took = {name: each.seconds for name, each in heard.endings.items()}
    chains = [
        sum(took[f"{verb}-{target}"] for verb in ("build", "time") for target in known.targets)
        for known in site.hosts.values()
    ]
    with capsys.disabled():
        print(
            f"\nthree Docker hosts, four targets: {total:.1f} s; the sum of all steps"
            f" {sum(chains):.1f} s, the longest chain {max(chains):.1f} s"
        )
    assert max(chains) <= total < 0.8 * sum(chains)
    assert left_behind(site, store) == []


@pytest.mark.skipif(
    "MMDET_JETSON_TEST_HOSTS" not in os.environ,
    reason="takes a minute; tests/unit/running/test_room.py has the rule",
)
def test_what_is_timed_is_timed_alone(site: Site, store: Store, data: Path) -> None:
    """Two of the hosts are reached through sockets of this machine, so they are one machine."""
    steps = several_hosts.steps_of(data, TARGETS, 1)
    spans = dict[str, list[float]]()

    class Watching(Heard):
        def progress(self, step: Step, progress: Progress) -> None:
            spans.setdefault(step.name, []).append(time.monotonic())

    several_hosts.run(steps, several_hosts.context_of(store, site.hosts, Watching(), jobs=4))
    here = {name: each for name, each in spans.items() if not name.endswith("-b")}
    assert set(here) == {f"{verb}-{target}" for verb in ("build", "time") for target in "acd"}
    for name in ("time-a", "time-c", "time-d"):
        for other in set(here) - {name}:
            assert max(here[other]) < min(here[name]) or max(here[name]) < min(here[other])


@pytest.mark.parametrize("which", ["docker", "second", "podman"])
def test_a_device_is_timed_by_one_client_at_a_time(site: Site, which: str) -> None:
    """And by the next one as soon as that client is killed."""
    known = site.hosts[which]
    host = connected(known)
    image = host.find_image(trials.TAG)
    assert image
    with client(known) as other:
        told, held = list[str](), threading.Event()

        def wait() -> None:
            with hold_device(host, image.id, US, told.append):
                held.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: bool(told), 60)
        assert told == [f"waiting: {find_holder(host)}"]
        found = find_holder(host)
        assert found
        assert found.who == "bob@pc"
        assert not held.wait(2)
        other.kill()
        killed = time.monotonic()
        assert held.wait(30)
        assert time.monotonic() - killed < 20
        waiting.join(60)
    assert find_holder(host) is None
    assert host.find_container(device_lock.NAME) is None


@pytest.mark.parametrize("which", ["docker", "podman"])
def test_a_client_without_a_sign_of_life_has_the_device_no_more(site: Site, which: str) -> None:
    """As one whose network is gone: its connection is open for all that the host knows."""
    known = site.hosts[which]
    host = connected(known)
    with client(known) as other:
        assert find_holder(host)
        other.send_signal(signal.SIGSTOP)
        wait_until(lambda: find_holder(host) is None, 30)
        other.send_signal(signal.SIGCONT)
        other.stdin.close()  # type: ignore[union-attr]
        assert other.wait(30) == 1
        assert "the lock on the Docker host" in other.stderr.read()  # type: ignore[union-attr]


def test_a_device_that_is_timed_is_not_shared(
    site: Site, store: Store, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What somebody else only builds there waits, and what runs already is waited for."""
    host, heard, told = connected(site.second), Heard(), list[str]()
    image = host.find_image(trials.TAG)
    assert image
    first, second = (several_hosts.steps_of(data, ["b"], seconds)[0] for seconds in (8, 0.1))
    hosts = {"second": site.second}
    running = threading.Thread(
        target=lambda: several_hosts.run([first], several_hosts.context_of(store, hosts, heard))
    )
    running.start()
    wait_until(lambda: any(each.state == "running" for each in host.containers({KIND: STAGE})), 60)
    with hold_device(host, image.id, US, told.append):
        running.join(1)
        assert not running.is_alive()
        assert told == ["waiting: another stage runs there, and what is timed is timed alone"]
        waiting = threading.Thread(
            target=lambda: several_hosts.run(
                [second], several_hosts.context_of(store, hosts, heard)
            )
        )
        waiting.start()
        time.sleep(5)
        assert waiting.is_alive()
        assert not [each for each in host.containers({KIND: STAGE}) if each.state == "running"]
    waiting.join(60)
    assert heard.endings["build-b"].word == "made"
    assert "waiting: ann@pc has timed profile-orin of run balloon" in capsys.readouterr().out


def test_a_lock_that_nobody_came_to_hold_is_taken_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client was killed before it had started the container."""
    host = connected(site.docker)
    image = host.find_image(trials.TAG)
    assert image
    host.create(ContainerSpec(image.id, ["true"], name=device_lock.NAME))
    monkeypatch.setattr(device_lock, "BEGINNING", 2)
    with hold_device(host, image.id, US, pytest.fail):
        found = find_holder(host)
        assert found
        assert (found.who, found.step) == (US.who, US.step)


def test_ctrl_c_ends_all_steps_and_leaves_nothing(site: Site, store: Store, data: Path) -> None:
    told = json.dumps({name: asdict(each) for name, each in site.hosts.items()})
    process = subprocess.Popen(
        [sys.executable, several_hosts.__file__, str(store.root), str(data), told, "600"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    output = list[str]()
    assert process.stdout
    reading = threading.Thread(target=lambda: output.extend(process.stdout or ()))
    reading.start()
    wait_until(lambda: len(running(site, store)) == 3, 120)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    process.wait(60)
    reading.join()
    assert time.monotonic() - began < 45, output
    assert "KeyboardInterrupt" in "".join(output)
    assert left_behind(site, store) == []
    assert store.artifacts() == []


def test_a_host_that_is_killed_keeps_back_its_target_alone(
    site: Site, store: Store, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = several_hosts.steps_of(data, TARGETS, SECONDS)
    heard = Heard()
    context = several_hosts.context_of(store, site.hosts, heard)
    killed = threading.Event()

    def kill() -> None:
        wait_until(lambda: "build-b" in heard._live, 300)
        time.sleep(SECONDS / 3)
        kill_docker_host(site.folder)
        killed.set()

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(UserError, match=r"does not answer|connection was lost") as caught:
        several_hosts.run(steps, context)
    killing.join()
    assert killed.is_set()
    assert caught.value.exit_code == 1
    words = {name: each.word for name, each in heard.endings.items()}
    assert words == {
        "build-a": "made", "time-a": "made", "build-b": "failed", "time-b": "not made",
        "build-c": "made", "time-c": "made", "build-d": "made", "time-d": "made",
    }  # fmt: skip
    assert "not made: needs build-b" in capsys.readouterr().out

    with second_docker_host(site.folder, port=site.remote.port):
        heard = Heard()
        began = time.monotonic()
        several_hosts.run(steps, several_hosts.context_of(store, site.hosts, heard))
        took = time.monotonic() - began
        words = {name: each.word for name, each in heard.endings.items()}
        assert {name for name, word in words.items() if word == "made"} == {"build-b", "time-b"}
        assert took < 300
        assert left_behind(site, store) == []
