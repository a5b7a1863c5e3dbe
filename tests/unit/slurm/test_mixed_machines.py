"""A command with jobs of Slurm and steps of another machine, as a device's Docker host is."""

from pathlib import Path

import pytest
from fake_slurm import FakeCluster, Node, attach
from invoke.exceptions import Exit

from mmdet_jetson.cli import verbs
from mmdet_jetson.cli.answering import answering
from mmdet_jetson.cli.request import Request
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.planning.stages import TRAIN
from mmdet_jetson.runtimes.protocol import Runtimes
from mmdet_jetson.runtimes.selection import DEVICE_ENVIRONMENTS, RuntimeOptions, open_runtime
from mmdet_jetson.slurm.records import folders
from mmdet_jetson.store import Store

TARGET = "pc-onnxruntime"


class Device(Node):
    """The machine of a Docker host."""

    def identity(self, step: object) -> str:
        return "an image"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """What builds and measures engines, while all before is for Slurm."""
    device = Device()

    def machines(*_: object, **__: object) -> Runtimes:
        settings = read_settings()
        store = Store(settings.artifacts)
        slurm = open_runtime(RuntimeOptions("slurm"), settings, store, print)
        return Runtimes({TRAIN: slurm, **dict.fromkeys(DEVICE_ENVIRONMENTS, device)})

    monkeypatch.setattr(verbs, "open_machines", machines)
    return device


def build(*, detach: bool = False) -> None:
    request = Request(
        config="configs/demo.toml",
        runtime=RuntimeOptions("slurm"),
        targets=[TARGET],
        for_device=True,
        detach=detach,
    )
    answering(lambda: verbs.build_jetson_engine(TARGET, request))()


def test_jobs_train_and_the_device_builds(
    cluster: FakeCluster, node: Node, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    build()
    assert {"dataset", "train", f"export-{TARGET}"} <= {*node.runs}
    assert {f"engine-{TARGET}", f"profile-{TARGET}"} <= {*device.runs}
    assert not {*node.runs} & {*device.runs}
    assert f"engine demo.engine-{TARGET}: sha256:" in capsys.readouterr().out


def test_whoever_is_attached_makes_what_is_for_no_job(
    cluster: FakeCluster,
    node: Node,
    device: Device,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Exit):
        build(detach=True)
    assert "is for no job: it is made by whoever is attached" in capsys.readouterr().out
    while not all(state.has_ended for state in cluster.mine().values()):
        pass
    assert f"engine-{TARGET}" not in device.runs
    attach()
    assert f"engine demo.engine-{TARGET}: sha256:" in capsys.readouterr().out
    assert f"profile-{TARGET}" in device.runs
    assert len(folders(tmp_path / "store")) == 1
