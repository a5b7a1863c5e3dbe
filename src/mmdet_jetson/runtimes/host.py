"""The host runtime: an environment is a virtual environment of this machine."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments.packages import (
    Environment,
    deploy_environment,
    jetpack_environment,
    python_of,
    rtx_environment,
    train_environment,
)
from mmdet_jetson.environments.this_machine import this_machine
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.processes import run_logged
from mmdet_jetson.runtimes.outcome import Progress, StageResult, hear, outcome

SOURCE = Path(__file__).resolve().parents[2]
# OpenMP's threads wait for each other in a busy loop. Beside other busy processes they wait mostly
# for a core: a training step that takes 0.2 s alone then takes over 4 s. With a shorter loop it
# takes 0.6 s there, and still 0.2 s alone (2 cores, RTMDet-tiny).
SPIN_COUNT = "3000"


class HostRuntime:
    """Runs stages as processes of this machine, each in the Python of its environment."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = print) -> None:
        self.settings = settings
        self.say = say
        self.machine = this_machine()
        root, jetpack = settings.root, self.machine.jetpack
        self.environments: dict[str, Environment] = {
            "train": train_environment(root, settings.variant),
            "deploy": jetpack_environment(root, jetpack) if jetpack else deploy_environment(root),
            "deploy-rtx": rtx_environment(root),
        }

    def identity(self, step: Step) -> str:
        """What a cache key needs to know of the step's environment."""
        return self.environments[step.environment].identity

    def evidence(self, step: Step) -> str:
        """What is measured here is measured on the target itself: no other target runs here."""
        return "measured"

    def device(self, step: Step) -> str:
        """Name the processor and the number of cores."""
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return f"{models[0] if models else platform.processor()} x {os.cpu_count()}"

    def check(self, steps: Sequence[Step]) -> None:
        """Say nothing: `prepare` makes what is missing."""

    def prepare(self, step: Step) -> Path:
        """Build the environment if it is missing, which takes minutes; return its Python."""
        return python_of(self.environments[step.environment], self.settings, self.say)

    def run(
        self,
        step: Step,
        job: Path,
        inputs: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        *,
        keep_open: Sequence[int] = (),
    ) -> StageResult:
        """Run a step's stage on a job folder and read its result.

        Raises:
            StageFailed: there is no ``result.json``, whatever the exit code.
        """
        python = self.prepare(step)
        log = job / "log.txt"
        code = run_logged(
            [str(python), "-m", f"mmdet_jetson.stages.{step.stage}", str(job)],
            log,
            env=_environ(self.settings.cache),
            cwd=job,
            on_line=lambda line: hear(line, log, on_progress),
            keep_open=keep_open,
        )
        return outcome(step.stage, code, job)


def _environ(cache: Path) -> dict[str, str]:
    """The machine's environment without what would make two runs differ or leave traces.

    Matplotlib searches the machine for fonts, which takes a second, and remembers what it found.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        "GOMP_SPINCOUNT": SPIN_COUNT,
        **kept,
        "PYTHONPATH": str(SOURCE),
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(cache / "matplotlib"),
        "MMDET_JETSON_WATCH_STDIN": "1",
    }
