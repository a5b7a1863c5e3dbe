"""A Slurm for commands, whose jobs run in the test, on nodes whose stages take no time."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
from fake_slurm import SLURM_TOML, FakeCluster, Node

from mmdet_jetson.cli import attaching, batch_job, submitting
from mmdet_jetson.runtimes.slurm import SlurmRuntime
from mmdet_jetson.slurm import following, queue
from mmdet_jetson.slurm.records import Folder


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def cluster(node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCluster:
    """The Slurm of every command of a test, which has a store of its own."""

    def run(arguments: list[str], environ: Mapping[str, str]) -> int:
        folder, step = arguments
        return batch_job.Job(Folder(Path(folder)), step, environ).run()

    fake = FakeCluster(run)
    for module in (submitting, attaching, batch_job):
        monkeypatch.setattr(module, "Cluster", lambda: fake)
    monkeypatch.setattr(batch_job, "NodeRuntime", lambda *_: node)
    monkeypatch.setattr(batch_job, "listening", nullcontext)
    monkeypatch.setattr(batch_job, "LATE", 0.0)
    monkeypatch.setattr(SlurmRuntime, "prepare", lambda *_: None)
    monkeypatch.setattr(following, "LOOKS", 0.01)
    monkeypatch.setattr(following, "GRACE", 0.05)
    monkeypatch.setattr(following, "LATE", 0.1)
    monkeypatch.setattr(following, "ACCOUNTED", 0.0)
    monkeypatch.setattr(queue, "SECONDS", 0.0)
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "store"))
    monkeypatch.setenv("MMDET_JETSON_CACHE", str(tmp_path / "cache"))
    settings = tmp_path / "slurm.toml"
    settings.write_text(SLURM_TOML)
    monkeypatch.setenv("MMDET_JETSON_SLURM", str(settings))
    return fake
