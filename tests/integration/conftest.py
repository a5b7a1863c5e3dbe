"""Real runs of the commands, each on a store of its own; the environments are the user's own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trials
from commands import MIRROR, ROOT, BalloonRun, Commands, new_commands
from needed import absent
from slurm_cluster import Cluster, SlurmCommands, cluster, on_slurm

from mmdet_jetson.config.images import StandIn
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.containers.docker_host import DockerHost
from mmdet_jetson.containers.objects import DockerHostError
from mmdet_jetson.environments.packages import Environment, python_of

# The documented settings continue from COCO weights over 40 epochs; these let one epoch, which is 16
# iterations from the demo's checkpoint, learn enough to detect something.
ONE_EPOCH = (
    "train.epochs=1",
    "train.batch_size=4",
    "train.workers=0",
    "train.overrides.optim_wrapper.optimizer.lr=0.002",
    "train.overrides.model.backbone.frozen_stages=-1",
    'train.overrides."custom_hooks.0.momentum"=0.2',
    "gates.min_AP50=0.0",
)


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """The commands on an empty store and the smallest pipeline that runs every stage."""
    return new_commands(tmp_path)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A finished run of the smallest pipeline; do not change it."""
    commands = new_commands(tmp_path_factory.mktemp("tiny"))
    done = commands.run("pipeline")
    assert done.returncode == 0, done.stdout + done.stderr
    return commands


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A finished run of the demo as it is shipped, on a store of its own."""
    commands = new_commands(
        tmp_path_factory.mktemp("demo"), (ROOT / "configs/demo.toml").read_text()
    )
    done = commands.run("pipeline")
    assert done.returncode == 0, done.stdout + done.stderr
    return commands


@pytest.fixture(scope="session")
def balloon_run(demo_run: Commands, tmp_path_factory: pytest.TempPathFactory) -> BalloonRun:
    """Run the shipped configuration for one epoch from the mirrored archive, network blocked."""
    if not (MIRROR / "balloon_dataset.zip").exists():
        pytest.skip(f"{MIRROR}/balloon_dataset.zip is not there")
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us block the network (unshare -rn)")
    shipped = (ROOT / "configs/pipeline.toml").read_text()
    folder = tmp_path_factory.mktemp("balloon")
    commands = new_commands(folder, shipped)
    assert demo_run.run("checkout", "demo.train", str(folder / "weights")).returncode == 0
    settings = (f"train.weights={folder}/weights/best.pth", *ONE_EPOCH)
    done = commands.run(
        "pipeline",
        *(word for setting in settings for word in ("--set", setting)),
        env={"MMDET_JETSON_MIRRORS": str(MIRROR), "MMDET_JETSON_OFFLINE": "1"},
        within=["unshare", "-rn"],
    )
    # 4: 13 pictures may be too few for a verdict after one epoch.
    assert done.returncode in (0, 4), done.stdout + done.stderr
    names = {
        "dataset": "dataset",
        "onnx": "export-pc-onnxruntime",
        "engine": "engine-pc-onnxruntime",
        "report": "report",
    }
    for name, step in names.items():
        taken = commands.run("checkout", f"balloon.{step}", str(folder / name))
        assert taken.returncode == 0, taken.stderr
    return BalloonRun(commands, done.stdout, **{name: folder / name for name in names})


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The Python of the environment that holds MMDeploy's own SDK."""
    environment = Environment("sdk", ROOT / "docker/sdk.lock", ("3.8",))
    return python_of(environment, read_settings(), print)


@pytest.fixture(scope="session")
def local_docker_host() -> DockerHost:
    """The Docker host that this machine is."""
    try:
        return DockerHost()
    except DockerHostError as error:
        absent(f"{error.message}: docker/start-docker")


@pytest.fixture(scope="session")
def trial_docker_host(local_docker_host: DockerHost) -> DockerHost:
    """The same, with the small image of the tests' own stages."""
    if local_docker_host.find_image(StandIn.reference("amd64")) is None:
        absent("no stand-in base here: docker/make-stand-in amd64")
    trials.build(local_docker_host)
    return local_docker_host


@pytest.fixture(scope="session")
def may_start_docker_hosts(local_docker_host: DockerHost) -> None:
    """A second Docker host can be started beside this machine's own."""
    lacking = [name for name in ("docker", "dockerd", "openssl") if not shutil.which(name)]
    lacking += [] if os.geteuid() == 0 else ["root"]
    if lacking:
        absent(f"starting a second Docker host needs {', '.join(lacking)}")


@pytest.fixture(scope="session")
def slurm() -> Cluster:
    """The cluster on this machine, every node of it taking jobs."""
    found = cluster()
    found.heal()
    return found


@pytest.fixture
def batch(commands: Commands, slurm: Cluster) -> Iterator[SlurmCommands]:
    """The commands on an empty store, with jobs in the cluster, which is left as it was found."""
    found = on_slurm(commands, slurm)
    yield found
    slurm.heal()
    found.cancel_all()


@pytest.fixture
def checked_batch(tiny_run: Commands, slurm: Cluster, tmp_path: Path) -> Iterator[SlurmCommands]:
    """The same on a copy of a finished run: its dataset is there, and nothing is checked again."""
    commands = new_commands(tmp_path)
    shutil.copytree(tiny_run.artifacts, commands.artifacts, symlinks=True)
    found = on_slurm(commands, slurm)
    yield found
    slurm.heal()
    found.cancel_all()
