"""Commands whose results come from and go to a registry, as users find them."""

from pathlib import Path

import pytest
from fakes import FakeRuntime, everywhere
from invoke.exceptions import Exit
from registry_faults import status
from registry_server import PASSWORD, RegistryServer

from mmdet_jetson.cli import machines, verbs
from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.request import Request
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.store import Store

DEMO = "configs/demo.toml"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRuntime:
    """What every command of a test runs on, which has a store of its own."""
    fake = FakeRuntime()
    monkeypatch.setattr(machines, "open_runtimes", lambda *_: everywhere(fake))
    for name, value in (("DOCKER_CONFIG", tmp_path / "docker"), ("HOME", tmp_path)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MMDET_JETSON_CACHE", str(tmp_path / "cache"))
    on(monkeypatch, tmp_path / "first")
    return fake


def on(monkeypatch: pytest.MonkeyPatch, store: Path) -> Store:
    """Go to a machine with this store."""
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(store))
    return Store(store)


def request_for(server: RegistryServer, *, push: bool = False) -> Request:
    registry = f"store.registry={server.place('team/mugs')}"
    return Request(config=DEMO, overrides=[registry], push=push)


def dataset(request: Request) -> None:
    answering(lambda: verbs.run_verb("dataset", request))()


def test_a_second_machine_makes_nothing_and_has_the_files(
    server: RegistryServer,
    runtime: FakeRuntime,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset(request_for(server, push=True))
    assert "1 result pushed to docker://127.0.0.1:" in capsys.readouterr().err
    assert "demo.dataset" in server.repositories["team/mugs"].tags
    second = on(monkeypatch, tmp_path / "second")
    dataset(request_for(server))
    assert runtime.runs == ["dataset"]
    assert "in the registry (took" in capsys.readouterr().err
    found = second.find("demo.dataset")
    assert found
    assert second.read(found, "out.txt")


@pytest.mark.parametrize("value", ["true", "1"])
def test_in_ci_results_go_up_unasked(
    server: RegistryServer, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CI", value)
    dataset(request_for(server))
    assert "demo.dataset" in server.repositories["team/mugs"].tags


@pytest.mark.parametrize("value", ["", "false"])
def test_elsewhere_they_stay_here(
    server: RegistryServer, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CI", value)
    dataset(request_for(server))
    assert server.asked
    assert {asked.method for asked in server.asked} <= {"GET", "HEAD"}


def test_what_could_not_be_pushed_ends_a_command_behind_its_answer(
    server: RegistryServer, runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    server.spoil("PUT", "/manifests/", status(403), times=2)  # when it is made, and at the end
    with pytest.raises(Exit) as exited:
        dataset(request_for(server, push=True))
    assert exited.value.code == 1
    said = str(exited.value.message)
    assert "does not have what it should have of this run: demo.dataset" in said
    told = capsys.readouterr()
    assert "dataset demo.dataset: sha256:" in told.out
    assert "warning: dataset " in told.err
    dataset(request_for(server, push=True))
    assert runtime.runs == ["dataset"]
    assert "demo.dataset" in server.repositories["team/mugs"].tags


def test_who_may_not_push_is_told_before_anything_runs(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    with RegistryServer(auth="basic") as server, pytest.raises(Exit) as exited:
        dataset(request_for(server, push=True))
    said = str(exited.value.message)
    assert "docker login" in said
    assert runtime.runs == []
    assert PASSWORD not in said + capsys.readouterr().err


def test_who_may_not_read_is_warned(
    runtime: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    with RegistryServer(auth="basic") as server:
        dataset(request_for(server))
    told = capsys.readouterr().err
    assert told.count("warning: ") == 2  # of a dataset by a fake, and this
    assert "docker login" in told
    assert runtime.runs == ["dataset"]


def test_state_and_reason_are_shown(
    server: RegistryServer,
    runtime: FakeRuntime,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(stage: StageRun) -> None:
        for name in ("train", "train.json", "val", "val.json", "summary.json"):
            (stage.folder / "output" / name).write_text("drawn")

    runtime.before_run = write
    dataset(request_for(server, push=True))
    on(monkeypatch, tmp_path / "second")
    capsys.readouterr()
    verbs.show_status(request_for(server))
    verbs.show_why("dataset", request_for(server))
    told = capsys.readouterr().out
    assert "│ registry" in told
    assert "dataset: in the registry\n  made on 20" in told
    assert "it is fetched when something reads it" in told
