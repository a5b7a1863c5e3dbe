"""How stages are started in an allocation, and what is made of what srun tells."""

from pathlib import Path

import msgspec
import pytest
from fakes import train_step

from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.config.slurm import Slurm
from mmdet_jetson.contract.process import TASKS, WORLD
from mmdet_jetson.planning.steps import Spread
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.slurm.cluster import Cluster
from mmdet_jetson.slurm.launching import _of_processes, launcher

STAGE = ["/cache/python", "-m", "mmdet_jetson.stages.train", "/store/jobs/train-1"]


class Addressed(Cluster):
    """Nodes whose names resolve nowhere."""

    def address(self, node: str) -> str:
        return {"n1": "10.0.0.1"}[node]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SLURM_JOB_ID", "20017")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    return msgspec.structs.replace(
        read_settings(), root=tmp_path / "project", cache=Path("/cache"), artifacts=Path("/store")
    )


def test_one_process_is_started_as_it_is(here: Settings) -> None:
    launch = launcher(Addressed(), Slurm(), here, uses_gpu=False)(STAGE, Spread())
    assert (launch.command, launch.environ) == (STAGE, {})


def test_several_on_one_node_start_each_other(here: Settings) -> None:
    launch = launcher(Addressed(), Slurm(), here, uses_gpu=True)(STAGE, Spread(1, 4))
    assert (launch.command, launch.environ) == (STAGE, {WORLD: "4"})


def test_several_nodes_are_srun(here: Settings) -> None:
    launch = launcher(Addressed(), Slurm(cpus=3), here, uses_gpu=True)(STAGE, Spread(2, 4))
    assert launch.command[:6] == [
        "srun", "--kill-on-bad-exit=1", "--nodes=2", "--ntasks=8", "--ntasks-per-node=4",
        "--cpus-per-task=3",
    ]  # fmt: skip
    assert list(launch.command[-4:]) == STAGE
    assert launch.environ == {
        WORLD: "8", TASKS: "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "20017",
    }  # fmt: skip


def test_each_node_looks_whether_it_sees_the_folders(here: Settings, tmp_path: Path) -> None:
    launch = launcher(Addressed(), Slurm(), here, uses_gpu=True)(STAGE, Spread(2, 1))
    script = next(word for word in launch.command if "SLURMD_NODENAME" in word)
    assert f"[ -d {tmp_path}/project ]" in script
    assert script.endswith('exec "$@"')


def test_apptainer_sees_all_that_a_stage_needs(here: Settings, tmp_path: Path) -> None:
    slurm = Slurm(container="apptainer", image="/images/x.sif", mounts=("/data",))
    launch = launcher(Addressed(), slurm, here, uses_gpu=True)(STAGE, Spread())
    assert launch.command == [
        "apptainer", "exec", "--nv", "--bind", f"{tmp_path}/project", "--bind", "/cache",
        "--bind", "/store", "--bind", "/data", "/images/x.sif", *STAGE,
    ]  # fmt: skip


def test_pyxis_is_an_option_of_srun(here: Settings, tmp_path: Path) -> None:
    slurm = Slurm(container="pyxis", image="docker://ubuntu:22.04")
    launch = launcher(Addressed(), slurm, here, uses_gpu=False)(STAGE, Spread())
    assert "--container-image=docker://ubuntu:22.04" in launch.command
    mounts = f"{tmp_path}/project:{tmp_path}/project,/cache:/cache,/store:/store"
    assert f"--container-mounts={mounts}" in launch.command
    assert {"--ntasks=1", "--cpus-per-task=2"} <= {*launch.command}
    assert TASKS not in launch.environ


def test_one_task_that_starts_others_has_the_processors_of_all(here: Settings) -> None:
    slurm = Slurm(container="pyxis", image="docker://ubuntu:22.04", cpus=3)
    launch = launcher(Addressed(), slurm, here, uses_gpu=False)(STAGE, Spread(1, 4))
    assert {"--ntasks=1", "--cpus-per-task=12"} <= {*launch.command}


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("x\nsrun: error: n3: task 1: Killed\nsrun: error: n2: task 0: Killed\n",
         "process 1, on node n3, died: killed; its last words:\nmore\nsome last words"),
        ("srun: error: n2: task 0: Exited with exit code 4\n"
         "srun: error: n3: tasks 2-3: Exited with exit code 1\n",
         "process 2, on node n3, died: exited with exit code 1"),
        ("node n3 does not see /shared/x\nsrun: error: n3: task 1: Exited with exit code 1\n",
         "node n3 does not see /shared/x: it is on no file system that this node shares"),
        ("srun: error: n2: task 0: Segmentation fault (core dumped)\n",
         "process 0, on node n2, died: segmentation fault"),
        ("nothing of srun\n", "as it was"),
    ],
)  # fmt: skip
def test_who_died_first_is_told_and_its_last_words(tmp_path: Path, log: str, told: str) -> None:
    (tmp_path / "log.txt").write_text(log)
    ranks = tmp_path / "work/ranks"
    ranks.mkdir(parents=True)
    (ranks / "rank-1.log").write_text("more\nsome last words\n")
    stage = StageRun(
        step=train_step(), folder=tmp_path, inputs={}, on_progress=lambda _: None, lock=0
    )
    assert told in str(_of_processes(stage, StageFailed("as it was")))
