"""What a login node says of keys, and what it knows of nodes."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from fakes import train_step

from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.slurm import Resources, Slurm
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.errors import ConfigError, UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.steps import Spread, Step
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.node_facts import NodeFacts, write_facts
from mmdet_jetson.runtimes.selection import RuntimeOptions
from mmdet_jetson.runtimes.slurm import UNKNOWN_DEVICE, UNKNOWN_GPU, SlurmRuntime, open_runtime
from mmdet_jetson.store import Store

GPU = "NVIDIA A100:sm80:driver 550"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return msgspec.structs.replace(
        read_settings({}), cache=tmp_path / "cache", artifacts=tmp_path / "store", variant="cpu"
    )


def runtime(settings: Settings, slurm: Slurm) -> SlurmRuntime:
    return SlurmRuntime(settings, Store(settings.artifacts), slurm, Path("slurm.toml"))


def profile_step(subject: str = "pc") -> Step:
    parameters = ProfileParameters(samples=200, warmup=20)
    return Step(
        stage=stages.PROFILE, parameters=parameters, subject=subject, environment=stages.DEPLOY,
        uses_gpu=True,
    )  # fmt: skip


def facts(node: str, found: str, gpu: str = GPU) -> NodeFacts:
    return NodeFacts(node=node, gpu=gpu, device=f"the processor of {node}", found=found)


def test_a_training_has_the_key_of_the_host(settings: Settings) -> None:
    step = train_step()
    ours, hosts = runtime(settings, Slurm()), HostRuntime(settings)
    assert ours.identity(step) == hosts.identity(step)
    assert ours.evidence(step) == hosts.evidence(step)


def test_where_gpus_are_asked_for_pytorch_is_the_build_for_them(settings: Settings) -> None:
    step, slurm = train_step(), Slurm(steps={"train": Resources(gpus=1)})
    for_gpus = HostRuntime(msgspec.structs.replace(settings, variant="cu113"))
    assert runtime(settings, slurm).identity(step) == for_gpus.identity(step)
    told = msgspec.structs.replace(settings, variant_is_told=True)
    assert runtime(told, slurm).identity(step) == HostRuntime(settings).identity(step)


def test_what_no_job_has_told_is_in_nobodys_key(settings: Settings) -> None:
    step = profile_step()
    ours = runtime(settings, Slurm(gpus=1))
    assert ours.identity(step).endswith(UNKNOWN_GPU)
    assert ours.device(step) == UNKNOWN_DEVICE
    assert UNKNOWN_GPU not in runtime(settings, Slurm()).identity(step)


def test_what_a_job_told_is_in_the_key_of_its_step(settings: Settings) -> None:
    step, ours = profile_step(), runtime(settings, Slurm(gpus=1))
    write_facts(settings.artifacts, ours.kind_of_node(step), step.name, facts("n1", "2026-01-01"))
    write_facts(settings.artifacts, ours.kind_of_node(step), "profile-b", facts("n2", "2026-01-02"))
    assert ours.identity(step).endswith(GPU)
    assert ours.device(step) == "the processor of n1"  # on which it was measured
    assert ours.device(profile_step("other")) == "the processor of n2"  # the newest


@pytest.mark.parametrize(
    "changed",
    [Slurm(gpus=2), Slurm(gpus=1, partition="b"), Slurm(gpus=1, options=("--constraint=x",))],
)
def test_it_is_of_no_other_kind_of_node(settings: Settings, changed: Slurm) -> None:
    step, ours = profile_step(), runtime(settings, Slurm(gpus=1))
    write_facts(settings.artifacts, ours.kind_of_node(step), step.name, facts("n1", "2026-01-01"))
    assert runtime(settings, changed).device(step) == UNKNOWN_DEVICE


def test_a_damaged_record_is_none(settings: Settings) -> None:
    step, ours = profile_step(), runtime(settings, Slurm(gpus=1))
    place = ours.kind_of_node(step)
    write_facts(settings.artifacts, place, step.name, facts("n1", "2026-01-01"))
    (record,) = (settings.artifacts / "slurm/nodes").iterdir()
    record.write_text("{")
    assert ours.device(step) == UNKNOWN_DEVICE


def test_each_process_has_a_gpu(settings: Settings) -> None:
    step = replace(train_step(), uses_gpu=True, spread=Spread(2, 4))
    with pytest.raises(ConfigError, match="4 processes on each node, and gpus = 1"):
        runtime(settings, Slurm(gpus=1)).check([step])
    runtime(settings, Slurm(gpus="a100:4")).check([step])
    runtime(settings, Slurm()).check([step])  # on processors


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (RuntimeOptions("slurm", "ssh://x"), "only `invoke build-jetson-engine` takes it"),
        (RuntimeOptions("slurm", untested=True), "--untested is about container images"),
    ],
)
def test_what_is_of_containers_means_nothing(
    settings: Settings, options: RuntimeOptions, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        open_runtime(options, settings, Store(settings.artifacts), print)
