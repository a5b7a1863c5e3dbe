"""The host runtime: an environment is a virtual environment of this machine."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import LOG, Result, stage_module
from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.contract.process import ENVIRON
from mmdet_jetson.environments.packages import (
    Environment,
    device_environment,
    jetpack_environment,
    python_of,
    train_environment,
)
from mmdet_jetson.environments.this_machine import Machine, cpu_name, power_mode, this_machine
from mmdet_jetson.environments.timing import hold_machine, holder
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import remove
from mmdet_jetson.planning.stage_source import PACKAGE, copy_source
from mmdet_jetson.planning.stages import DEPLOY, TRAIN
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.processes import ProcessFailed, output_of, run_logged
from mmdet_jetson.runtimes.launching import Launcher, check_one_machine, on_one_machine
from mmdet_jetson.runtimes.outcome import hear, outcome
from mmdet_jetson.runtimes.protocol import ASK_GPU, OnWait, Place, StageRun, gpu_of
from mmdet_jetson.runtimes.selection import RuntimeOptions, Say
from mmdet_jetson.store import Store

PINNED = "source"
"""The folder of a job with the source that runs it."""
SPINS = "GOMP_SPINCOUNT"
# What a person may set for our process, and a stage inherits: how a GPU computes, and how libraries
# share out their work among threads.
ROUNDING = ("NVIDIA_TF32_OVERRIDE",)
THREADS = ("GOMP_", "KMP_", "MKL_", "OMP_", "OPENBLAS_")


def open_runtime(
    options: RuntimeOptions, settings: Settings, store: Store, say: Say
) -> "HostRuntime":
    """Refuse what options of containers mean nothing to, and give the runtime."""
    if options.docker_host:
        raise UserError("--docker-host says where containers run", "add --runtime docker")
    if options.untested:
        raise UserError("--untested is about container images", "add --runtime docker")
    return HostRuntime(settings, say)


class HostRuntime:
    """Runs stages as processes of this machine, each in the Python of its environment."""

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None] = print,
        launcher: Launcher | None = None,
    ) -> None:
        self.settings = settings
        self.say = say
        self.launcher = launcher
        self.by_files = this_machine()
        root, jetpack = settings.root, self.by_files.jetpack
        names = sorted({backend.environment for backend in BACKENDS.values()})
        self.environments: dict[str, Environment] = {
            TRAIN: train_environment(root, settings.variant),
            **{name: device_environment(root, name) for name in names},
        }
        if jetpack:
            self.environments[DEPLOY] = jetpack_environment(root, jetpack)

    @cached_property
    def machine(self) -> Machine:
        """The machine. Files say which GPU a Jetson has; of a PC's the CUDA driver is asked.

        It is asked, too, where device files are closed to this user: not every JetPack needs all.
        """
        here = self.by_files
        if not (here.closed if here.l4t else here.has_gpu):
            return here
        if self.gpu:
            return replace(here, sm=self.gpu.sm, closed=())
        return here if here.l4t else replace(here, has_gpu=False)

    @cached_property
    def gpu(self) -> Gpu | None:
        """The GPU that a stage would compute on; asking takes a moment where there is one."""
        if not self.by_files.has_gpu:
            return None
        try:
            environ = _environ(self.settings.cache, PACKAGE.parent)
            return gpu_of(output_of([sys.executable, "-c", ASK_GPU], environ))
        except ProcessFailed:
            return None

    def identity(self, step: Step) -> str:
        """What a cache key needs to know of the step's environment, and of the GPU that it uses.

        Jetsons of several sizes call their GPU the same, so the board's name is told, too.
        """
        identity = self.environments[step.environment].identity
        gpu = self.gpu_identity if step.belongs_to_gpu else ""
        return f"{identity}:{gpu}" if gpu else identity

    @property
    def gpu_identity(self) -> str:
        """What a key needs to know of the GPU; empty where there is none."""
        if not self.gpu:
            return ""
        parts = (self.gpu.identity, self.by_files.board, _variables(ROUNDING))
        return ":".join(filter(None, parts))

    def evidence(self, step: Step) -> str:
        """What is measured here is measured on the target itself: no other target runs here."""
        return "measured"

    def device(self, step: Step) -> str:
        """Name the processor, its cores and its power mode, and the GPU that the step uses."""
        uuid = self.gpu.uuid if step.uses_gpu and self.gpu else ""
        parts = (cpu_name(), self.by_files.board, uuid, power_mode(), _variables(THREADS))
        return ":".join(filter(None, parts))

    def check(self, steps: Sequence[Step]) -> None:
        """Refuse what has no packages for this processor; `prepare` makes what is missing."""
        if self.launcher is None:
            check_one_machine(steps)
        needy = [step.name for step in steps if step.environment == TRAIN]
        if needy and self.by_files.architecture != "amd64":
            raise UserError(
                f"{needy[0]} runs in environment `train`, whose packages are for x86-64 only, and "
                f"this machine is {self.by_files.architecture}",
                "on a PC `invoke pack --target TARGET FOLDER`, and here the same command with "
                "`--onnx FOLDER`; or make it there with --push, and name that registry in [store]"
                " here: docs/tutorial.md",
            )

    @property
    def place(self) -> Place:
        """Where the command is."""
        return Place()

    def alone(self, step: Step, run: str, on_wait: OnWait) -> AbstractContextManager[None]:
        """Keep everybody else on this machine from timing anything meanwhile."""
        return hold_machine(holder(step.name, run), on_wait, self.say)

    def prepare(self, step: Step) -> Path:
        """Build the environment if it is missing, which takes minutes; return its Python."""
        return python_of(self.environments[step.environment], self.settings, self.say)

    def run(self, stage: StageRun) -> Result:
        """Run a stage on its job folder and read its result.

        Raises:
            StageFailed: it left no result, whatever its exit code.
            UserError: its source is no longer the one in its key.
        """
        python = self.prepare(stage.step)
        module, log = stage.step.stage.module, stage.folder / LOG
        source = _pinned_source(stage)
        launcher = self.launcher or on_one_machine
        command = [str(python), "-m", stage_module(module), str(stage.folder)]
        launch = launcher(command, stage.step.spread)
        code = run_logged(
            launch.command,
            log,
            env={**_environ(self.settings.cache, source), **launch.environ},
            cwd=stage.folder,
            on_line=lambda line: hear(line, log, stage.on_progress),
            keep_open=[stage.lock],
        )
        return outcome(module, code, stage.folder)


def _variables(prefixes: tuple[str, ...]) -> str:
    """List the environment variables that begin like one of these, with their values."""
    found = sorted(each for each in os.environ.items() if each[0].startswith(prefixes))
    return ", ".join(f"{name}={value}" for name, value in found)


def _pinned_source(stage: StageRun) -> Path:
    """Copy the stage's source into its folder: no edit reaches what runs under the result's key.

    A stage imports for minutes: some modules when it needs them, others in processes that it
    starts. A failed stage's folder stays, and the lines of its traceback with it.
    """
    source = stage.folder / PINNED
    module = stage.step.stage.module
    remove(source)
    if copy_source(module, source) != stage.source and stage.source:
        raise UserError(f"{module}: its source changed before it started", "run again")
    return source


def _environ(cache: Path, source: Path) -> dict[str, str]:
    """The machine's environment without what would make two runs differ or leave traces.

    Matplotlib searches the machine for fonts, which takes a second, and remembers what it found.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # A person may know better how long threads should wait for each other.
    ours = {name: value for name, value in ENVIRON.items() if name != SPINS}
    return {
        **ENVIRON,
        **kept,
        **ours,
        "PYTHONPATH": str(source),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLCONFIGDIR": str(cache / "matplotlib"),
    }
