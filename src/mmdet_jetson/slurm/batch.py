"""What a step's job is for Slurm: the options of sbatch, and the script."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.config.slurm import Slurm
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.slurm.endings import NO_MODULE, UNSEEN
from mmdet_jetson.slurm.records import Folder

NOTICE = 20
"""How many seconds before its time is up a job is told; Slurm may tell up to a minute earlier."""
MODULE = "mmdet_jetson.cli.batch_job"


def options(step: Step, settings: Slurm, folder: Folder, before: Sequence[str]) -> list[str]:
    """The options of sbatch for a step's job, which waits until the jobs ``before`` succeeded."""
    name = folder.job_name(step.name)
    spread = step.spread
    own = [
        f"--job-name={name}",
        f"--comment={name}",
        f"--output={_output(folder, step.name)}",
        "--open-mode=append",
        "--requeue",
        "--kill-on-invalid-dep=yes",
        f"--signal=B:USR1@{NOTICE}",
        "--export=ALL",
        *asked(step, settings),
        f"--nodes={spread.nodes}",
        f"--ntasks-per-node={spread.processes}",
        f"--cpus-per-task={settings.cpus}",
    ]
    # What is timed shares its node with nobody: another job would be in the figures.
    own += ["--exclusive"] if step.stage.measures_device else []
    own += [f"--dependency=afterok:{':'.join(before)}"] if before else []
    return [*own, *settings.options]


def _output(folder: Folder, step: str) -> str:
    """The log's path as sbatch reads it: ``%j`` is the job, and a folder's own ``%`` is doubled."""
    log = folder.log(step, "%j")
    return f"{str(log.parent).replace('%', '%%')}/{log.name}"


def asked(step: Step, settings: Slurm) -> list[str]:
    """The options that say which kind of node, and for how long."""
    stated = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "time": settings.time,
        "mem": settings.memory,
        "gres": f"gpu:{settings.gpus}" if step.uses_gpu and settings.number_of_gpus else "",
    }
    return [f"--{name}={value}" for name, value in stated.items() if value]


def folders_seen(here: Settings, slurm: Slurm) -> tuple[Path, ...]:
    """What each node has to see, in the order of the exit codes that tell which it does not."""
    return tuple(
        dict.fromkeys(
            (
                here.root,
                here.cache,
                here.artifacts,
                *map(Path, slurm.mounts),
            )
        )
    )


def script(step: Step, settings: Slurm, here: Settings, folder: Folder) -> str:
    """The batch script of a step's job: it looks around, loads modules and starts our program.

    That takes the script's place, so that it is what Slurm sends signals to. Until it listens the
    first signal is ignored, which would end the script.
    """
    program = [sys.executable, "-m", MODULE, str(folder.path), step.name]
    return "\n".join(
        [
            "#!/bin/bash",
            f"# Step {step.name} of submission {folder.id}; mmdet_jetson has written this.",
            "trap '' USR1",
            *_probes(folders_seen(here, settings)),
            f"cd {shlex.quote(str(here.root))} || exit {UNSEEN}",
            *_modules(settings.modules),
            *settings.before,
            *_exports(environ(here)),
            f"exec {shlex.join(program)}",
            "",
        ]
    )


def environ(here: Settings) -> dict[str, str]:
    """What a job is told of the places of this machine, which its own variables may not say."""
    slurm = {"MMDET_JETSON_SLURM": str(here.slurm)} if here.slurm else {}
    return {
        **slurm,
        "MMDET_JETSON_ARTIFACTS": str(here.artifacts),
        "MMDET_JETSON_CACHE": str(here.cache),
        "MMDET_JETSON_TRAIN": here.variant,
        "CI": "",
    }


def _probes(folders: Sequence[Path]) -> list[str]:
    return [
        f"[ -d {shlex.quote(str(folder))} ] || exit {UNSEEN + number}"
        for number, folder in enumerate(folders)
    ]


def _modules(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    have = "command -v module >/dev/null 2>&1 || . /etc/profile"
    return [have, *(f"module load {shlex.quote(name)} || exit {NO_MODULE}" for name in names)]


def _exports(variables: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
