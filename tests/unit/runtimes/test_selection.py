from pathlib import Path

import pytest
from fakes import FakeRuntime

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.runtimes import docker, selection
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.selection import (
    DEVICE_ENVIRONMENTS,
    RuntimeOptions,
    open_for_device,
    open_runtimes,
)
from mmdet_jetson.store import Store


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (RuntimeOptions("doker"), "did you mean 'docker'"),
        (RuntimeOptions("host", "ssh://orin"), "add --runtime docker"),
        (RuntimeOptions("host", untested=True), "add --runtime docker"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: RuntimeOptions, told: str, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        open_runtimes(options, settings, Store(tmp_path), print)


def test_the_host_runtime_needs_no_docker(settings: Settings, tmp_path: Path) -> None:
    runtimes = open_runtimes(RuntimeOptions(), settings, Store(tmp_path), print)
    assert set(runtimes.by_environment) == {"train", *DEVICE_ENVIRONMENTS}
    assert {type(runtime) for runtime in runtimes.by_environment.values()} == {HostRuntime}


def test_a_devices_docker_host_has_the_environments_of_engines_only(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, asked = FakeRuntime("there"), list[RuntimeOptions]()

    def opened(options: RuntimeOptions, *_: object) -> FakeRuntime:
        asked.append(options)
        return there

    monkeypatch.setattr(docker, "open_runtime", opened)
    options = RuntimeOptions("host", "ssh://orin", untested=True)
    runtimes = open_for_device(options, settings, Store(tmp_path), print)
    assert isinstance(runtimes.by_environment["train"], HostRuntime)
    assert all(runtimes.by_environment[name] is there for name in DEVICE_ENVIRONMENTS)
    assert asked == [RuntimeOptions("docker", "ssh://orin", untested=True)]


@pytest.mark.parametrize("name", selection.RUNTIMES)
def test_every_runtime_can_be_opened(name: str) -> None:
    module = __import__(f"mmdet_jetson.runtimes.{name}", fromlist=["open_runtime"])
    assert callable(module.open_runtime)
