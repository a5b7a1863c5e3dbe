"""What a step is: a stage with its parameters and inputs, about one target or one checkpoint."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.planning.stages import DEPLOY, OF_TARGET, TRAIN, Stage
from mmdet_jetson.store import Artifact


@dataclass(frozen=True)
class StepOutput:
    """An input that an earlier step makes; ``parts`` limits it to some of its entries."""

    step: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExternalInput:
    """An input from outside: how to know its content, and how to put it into a folder.

    ``place`` is handed an absent folder and returns the folder to read: that one, filled, or
    one of the user's own.
    """

    digest: Callable[[], str]
    place: Callable[[Path], Path]
    is_known: Callable[[], bool] = lambda: True  # whether `digest` needs to fetch nothing
    artifact: Artifact | None = None  # what it is a part of, where it is handed over as one
    files: Callable[[str], tuple[str, Mapping[str, str]]] | None = None
    """Given the digest that a key has, the one of now, and with it the SHA-256 of each file of a
    folder of the user's, by its path.
    """
    fetch: Callable[[], object] = lambda: None  # has all of it on this machine


Input = StepOutput | ExternalInput


@dataclass(frozen=True)
class Spread:
    """How many processes a step's stage is: ``processes`` on each of ``nodes`` machines.

    It is in no key: processes share out the pictures of a step of the training among them.
    """

    nodes: int = 1
    processes: int = 1

    @property
    def world(self) -> int:
        """The number of processes in all, as torch.distributed's world size."""
        return self.nodes * self.processes


class Made(Protocol):
    """What plans read artifacts of: a step, or what was made elsewhere and is given."""

    @property
    def kind(self) -> str:
        """The kind of artifact."""

    @property
    def subject(self) -> str:
        """As a step's."""

    def output(self, *parts: str) -> Input:
        """The artifact, or some of its entries, as an input."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node of the pipeline.

    Raises:
        TypeError: it contradicts its stage, which is a bug in a plan: parameters of another one,
            another environment, or a GPU for what neither trains nor runs engines.
    """

    stage: Stage
    parameters: Parameters
    subject: str = ""
    """What it is about: a target, or a name of `contract.report`; empty where there is one only."""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    environment: str = TRAIN
    image: str = "train"
    """Its environment as a container: a name in images.toml; empty for none."""
    uses_gpu: bool = False
    judges: str = ""
    """The step whose artifact it refers to as its subject."""
    after: tuple[str, ...] = ()
    """Steps that must have succeeded before it is run, though its result is the same without them.

    So they are in no key, and where its result is known nobody asks for them.
    """
    spread: Spread = Spread()
    """How many processes it is, which is in no key."""
    reuses: str = ""
    """A file of its last artifact that only makes it faster, so it is in no key."""

    remembers: str = ""
    """A folder of its work folder that its next run gets, if nothing but parameters and inputs is
    another then. It only makes it faster, so it is in no key and no artifact."""

    def __post_init__(self) -> None:
        if type(self.parameters) is not self.stage.parameters:
            raise TypeError(f"{self.name}: not the parameters of {self.stage.module}")
        fitting = (self.stage.environment, *([DEPLOY] if self.stage.runs_on_devices else []))
        if OF_TARGET not in fitting and self.environment not in fitting:
            raise TypeError(f"{self.name}: {self.stage.module} runs in {' or '.join(fitting)}")
        if self.uses_gpu and not (self.stage.trains or self.stage.runs_engines):
            raise TypeError(f"{self.name}: {self.stage.module} needs no GPU")

    @property
    def name(self) -> str:
        """What people call it and its artifact. Programs read ``stage`` and ``subject``."""
        return name_of(self.stage, self.subject)

    @property
    def kind(self) -> str:
        """The kind of its artifact."""
        return self.stage.makes

    @property
    def belongs_to_gpu(self) -> bool:
        """Whether another GPU, or another driver, makes another result of it.

        Not so of a training: its seed gives other weights on every GPU, and all of them are that
        training's. They are as good where they are as where they were made, and took hours. What is
        measured of them belongs to where it was measured.
        """
        return self.uses_gpu and (self.stage.runs_engines or self.stage.is_evidence)

    def output(self, *parts: str) -> StepOutput:
        """What it makes, or some of the entries of that, as an input of a later step."""
        return StepOutput(self.name, parts)


def name_of(stage: Stage, subject: str = "") -> str:
    """Name a step by its stage and its subject."""
    return f"{stage.verb}-{subject}" if subject else stage.verb


def missing_inputs(step: Step, artifacts: Mapping[str, object]) -> list[str]:
    """Name the earlier steps whose artifact is not there yet."""
    needed = {each.step for each in step.inputs.values() if isinstance(each, StepOutput)}
    return sorted(needed - set(artifacts))


def needed_for(steps: Sequence[Step], goals: Iterable[Step]) -> tuple[Step, ...]:
    """Keep the goals, all that they are made from, and what must come first, in order."""
    wanted = {goal.name for goal in goals}
    for step in reversed(steps):
        if step.name in wanted:
            wanted |= {*missing_inputs(step, {}), *step.after}
    return tuple(step for step in steps if step.name in wanted)


def is_fetched(step: Step) -> bool:
    """Whether the content of all its inputs from outside is known without fetching any."""
    outside = (each for each in step.inputs.values() if isinstance(each, ExternalInput))
    return all(each.is_known() for each in outside)
