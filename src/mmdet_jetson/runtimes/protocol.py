"""What a runtime is: whatever can run a stage, here or elsewhere."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mmdet_jetson.contract.job import Progress, Result
from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.contract.records import ContractError, decode
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.planning.stages import DEPLOY, TRAIN
from mmdet_jetson.planning.steps import Step

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """A job that lies in its folder, ready to be run.

    ``inputs`` maps each input's name to the digest of its content; ``lock`` is the descriptor of
    the lock on the folder, which whatever runs the stage here should inherit. ``source`` is the
    digest of the stage's source in the result's key, empty where there is none.
    """

    step: Step
    folder: Path
    inputs: Mapping[str, str]
    on_progress: OnProgress
    lock: int
    source: str = ""


class Runtime(Protocol):
    """What runs a stage: a process here, or a container elsewhere.

    A result goes under a key that was computed before the stage ran. So while it runs, its packages
    and its source must be those of the key even when a person edits files.
    """

    @property
    def machine(self) -> Machine:
        """The machine that it runs stages on."""

    def identity(self, step: Step) -> str:
        """What a cache key needs to know of the environment that a step runs in."""

    def evidence(self, step: Step) -> str:
        """How near to its target a step's result is taken: measured or emulated.

        ``, stand-in base`` follows where its image is on one.
        """

    def device(self, step: Step) -> str:
        """What tells the machine that a step runs on from another one when time is measured."""

    def check(self, steps: Sequence[Step]) -> None:
        """Refuse, before anything starts, what could not run here."""

    def prepare(self, step: Step) -> object:
        """Make a step's environment ready to run; may take minutes the first time."""

    def run(self, stage: StageRun) -> Result:
        """Run a stage on its job folder and read its result.

        Raises:
            StageFailed: it left no result, whatever its exit code.
        """


ASK_GPU = "from mmdet_jetson.stages.inference.device import print_gpu; print_gpu()"
"""A line of Python that tells, where a stage would run, which GPU it would compute on."""

ASK_CLOCKS = "from mmdet_jetson.contract.power import print_clocks; print_clocks()"
"""A line of Python that tells whether a Jetson's clocks are locked."""


ASK_REPORTED = (
    "import json; from mmdet_jetson.stages.backends import load_backend; "
    "from mmdet_jetson.stages.inference.device import reported; "
    "print(json.dumps(reported(load_backend({backend!r}).versions())))"
)
"""A line of Python that tells, where a backend's stage would run, what a target may ask of it."""


def gpu_of(answer: str) -> Gpu | None:
    """Read what `ASK_GPU` printed; None where there is no GPU, or nothing came of it."""
    try:
        return decode(Gpu, json.loads(answer))
    except (ValueError, ContractError):
        return None


@dataclass(frozen=True)
class Runtimes:
    """Which runtime runs which step: that of its target, where it has one, else its environment's.

    ``by_target`` has the targets whose engines a host of their own builds and measures.
    """

    by_environment: Mapping[str, Runtime]
    by_target: Mapping[str, Runtime] = field(default_factory=dict)

    def of(self, step: Step) -> Runtime:
        """Give the runtime that runs a step."""
        on_device = step.environment != TRAIN and self.by_target.get(step.subject)
        return on_device or self.by_environment[step.environment]

    def of_target(self, name: str) -> Runtime:
        """Give the runtime that builds a target's engine and measures it."""
        return self.by_target.get(name) or self.by_environment[DEPLOY]


def check(runtimes: Runtimes, steps: Sequence[Step]) -> None:
    """Let each runtime look at the steps that would run on it.

    Raises:
        UserError: one of them refuses.
    """
    for runtime in {id(each): each for each in map(runtimes.of, steps)}.values():
        runtime.check([step for step in steps if runtimes.of(step) is runtime])
