"""How a stage's processes are started in an allocation: as they are, by srun, in a container."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.slurm import Slurm
from mmdet_jetson.contract.job import LOG, Result, read_failure
from mmdet_jetson.contract.process import LOST, RANK_LOGS, TASKS, WORLD, rank_log
from mmdet_jetson.planning.steps import Spread
from mmdet_jetson.processes import tail
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.runtimes.launching import Launch, Launcher, on_one_machine
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.runtimes.selection import Say
from mmdet_jetson.slurm.batch import folders_seen
from mmdet_jetson.slurm.cluster import Cluster

UNSEEN = "does not see"
# As srun tells of tasks that ended badly: "srun: error: n2: tasks 2-3: Exited with exit code 1".
TASK_ENDED = re.compile(r"srun: error: (\S+): tasks? ([\d,-]+): (.+)")
FIRST_PORT, PORTS = 20000, 20000


def launcher(cluster: Cluster, slurm: Slurm, here: Settings, *, uses_gpu: bool) -> Launcher:
    """Say how stages are started in the allocation that this process is in."""
    seen = folders_seen(here, slurm)

    def launch(command: Sequence[str], spread: Spread) -> Launch:
        inside = _contained(command, slurm, seen, uses_gpu=uses_gpu)
        if spread.nodes == 1 and slurm.container != "pyxis":
            return Launch(inside, on_one_machine(command, spread).environ)
        tasks = spread.nodes * spread.processes
        if spread.nodes == 1:  # one task in the container, which starts the others by itself
            tasks, environ = 1, dict(on_one_machine(command, spread).environ)
        else:
            environ = _meeting(cluster, spread)
        return Launch([*_srun(spread, tasks, slurm, seen), *_looking(inside, seen)], environ)

    return launch


def _srun(spread: Spread, tasks: int, slurm: Slurm, seen: Sequence[Path]) -> list[str]:
    nodes, container = spread.nodes, []
    cpus = slurm.cpus * spread.world // tasks  # one task may start the other processes by itself
    if slurm.container == "pyxis":
        mounts = ",".join(f"{folder}:{folder}" for folder in seen)
        container = [
            f"--container-image={slurm.image}",
            f"--container-mounts={mounts}",
            "--no-container-mount-home",
        ]
    return [
        "srun",
        "--kill-on-bad-exit=1",
        f"--nodes={nodes}",
        f"--ntasks={tasks}",
        f"--ntasks-per-node={tasks // nodes}",
        f"--cpus-per-task={cpus}",
        *container,
    ]


def _contained(
    command: Sequence[str], slurm: Slurm, seen: Sequence[Path], *, uses_gpu: bool
) -> list[str]:
    if slurm.container != "apptainer":
        return list(command)
    binds = [word for folder in seen for word in ("--bind", str(folder))]
    gpu = ["--nv"] if uses_gpu else []
    return ["apptainer", "exec", *gpu, *binds, slurm.image, *command]


def _looking(command: Sequence[str], seen: Sequence[Path]) -> list[str]:
    """Let each node look whether it sees the folders, before it starts what needs them."""
    probes = "".join(
        f'[ -d {shlex.quote(str(folder))} ] || {{ echo "node ${{SLURMD_NODENAME:-?}} {UNSEEN} "'
        f"{shlex.quote(str(folder))} >&2; exit 1; }}\n"
        for folder in seen
    )
    return ["/bin/sh", "-c", f'{probes}exec "$@"', "sh", *command]


def _meeting(cluster: Cluster, spread: Spread) -> dict[str, str]:
    """Say where the processes find each other: on the first node, which runs this one, too."""
    job = int(os.environ["SLURM_JOB_ID"])
    return {
        WORLD: str(spread.world),
        TASKS: "1",
        "MASTER_ADDR": cluster.address(os.environ["SLURMD_NODENAME"]),
        "MASTER_PORT": str(FIRST_PORT + job % PORTS),
    }


class NodeRuntime(HostRuntime):
    """The host runtime in an allocation: what srun tells of several nodes becomes a sentence."""

    def __init__(self, settings: Settings, say: Say, launcher: Launcher) -> None:
        super().__init__(settings, say, launcher)

    def run(self, stage: StageRun) -> Result:
        """Run a stage on its job folder and read its result.

        Raises:
            StageFailed: it left no result; names the process that died first, and its node.
        """
        try:
            return super().run(stage)
        except StageFailed as error:
            if stage.step.spread.nodes == 1 or read_failure(stage.folder):
                raise
            raise _of_processes(stage, error) from error


def _of_processes(stage: StageRun, error: StageFailed) -> StageFailed:
    log, name = stage.folder / LOG, stage.step.name
    lines = tail(log, 400, 100_000).splitlines()
    for line in lines:
        if line.startswith("node ") and UNSEEN in line:
            return StageFailed(
                f"{name}: {line}: it is on no file system that this node shares",
                "keep it on a shared one, or leave that node out with --exclude in options",
            )
    for found in filter(None, map(TASK_ENDED.search, lines)):
        node, tasks, how = found.groups()
        if how.startswith(f"Exited with exit code {LOST}"):
            continue  # it only noticed that another one had gone
        rank = int(re.split("[,-]", tasks)[0])
        words = tail(stage.folder / "work" / RANK_LOGS / rank_log(rank), 6) if rank else ""
        said = f"; its last words:\n{words}" if words.strip() else ""
        ended = how[0].lower() + how[1:].rstrip()
        return StageFailed(
            f"{name}: process {rank}, on node {node}, died: {ended}{said}", error.hint
        )
    return error
