"""What a runtime is: whatever can run a stage, here or elsewhere."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mmdet_jetson.contract.job import Progress, Result
from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.contract.records import ContractError, decode
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.planning.stages import DEPLOY
from mmdet_jetson.planning.steps import Step

OnProgress = Callable[[Progress], None]
OnWait = Callable[[str], None]
"""Told who or what is waited for, as a sentence."""
HERE = "here"
"""The machine of the command, as a place."""


@dataclass(frozen=True)
class Place:
    """Where steps run that compete with each other.

    Steps of one ``machine`` disturb what is timed there. ``jobs`` is how many of them a
    configuration lets run at once, if it says so.
    """

    name: str = HERE
    machine: str = HERE
    jobs: int | None = None

    @property
    def is_here(self) -> bool:
        """Whether all that a command does by itself disturbs what is timed there."""
        return self.machine == HERE


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

    @property
    def place(self) -> Place:
        """What its steps compete for."""

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

    def alone(self, step: Step, run: str, on_wait: OnWait) -> AbstractContextManager[None]:
        """Keep everybody else from timing anything on its machine, while a step of a run does.

        Whoever has it is told to ``on_wait``, once.
        """

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

    ``by_target`` has the targets whose engines a host of their own builds and measures, and
    ``others`` further hosts that could do so as well.
    """

    by_environment: Mapping[str, Runtime]
    by_target: Mapping[str, Runtime] = field(default_factory=dict)
    others: Mapping[str, Sequence[Runtime]] = field(default_factory=dict)

    def of(self, step: Step) -> Runtime:
        """Give the runtime that runs a step."""
        on_device = step.stage.runs_engines and self.by_target.get(step.subject)
        return on_device or self.by_environment[step.environment]

    def of_target(self, name: str) -> Runtime:
        """Give the runtime that builds a target's engine and measures it."""
        return self.by_target.get(name) or self.by_environment[DEPLOY]

    def every_of_target(self, name: str) -> tuple[Runtime, ...]:
        """Give every runtime that could do that."""
        return (self.of_target(name), *self.others.get(name, ()))

    def choices(self, step: Step) -> tuple[Runtime, ...]:
        """Give every runtime that could run a step; the first is the one that does, if asked."""
        chosen = self.of(step)
        is_of_target = step.stage.runs_engines and step.subject in self.by_target
        return (chosen, *self.others.get(step.subject, ())) if is_of_target else (chosen,)

    def choose(self, target: str, runtime: Runtime) -> "Runtimes":
        """Leave a target to one of the runtimes that could have it."""
        others = {name: each for name, each in self.others.items() if name != target}
        return replace(self, by_target={**self.by_target, target: runtime}, others=others)


def check(runtimes: Runtimes, steps: Sequence[Step]) -> None:
    """Let each runtime look at the steps that would run on it, or could.

    Raises:
        UserError: one of them refuses.
    """
    could = [(runtime, step) for step in steps for runtime in runtimes.choices(step)]
    for runtime in {id(each): each for each, _ in could}.values():
        runtime.check([step for each, step in could if each is runtime])
