"""What a step is: the nodes that the pipeline is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Made:
    """An input that an earlier step makes; ``parts`` limits it to some of its entries."""

    step: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """An input from outside: how to know its content, and how to put it into a folder.

    ``place`` is handed an absent folder and returns the folder to read: that one, filled, or
    one of the user's own.
    """

    digest: Callable[[], str]
    place: Callable[[Path], Path]
    is_known: Callable[[], bool] = lambda: True  # whether `digest` needs to fetch nothing


@dataclass(frozen=True)
class Step:
    """One node of the pipeline: a stage, where it runs, what it reads and what it makes."""

    name: str
    stage: str
    environment: str
    kind: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Made | Given] = field(default_factory=dict)
    image: str = "train"  # its environment as a container: a name in images.toml; empty for none
    uses_gpu: bool = False
    is_evidence: bool = False  # its result tells how near to its target it was taken
    resumable: bool = False
    judges: str = ""  # the step whose artifact it refers to as its subject
    measures_device: bool = False  # its result belongs to this very machine
    reads_provenance: bool = False
    reuses: str = ""  # a file of its last artifact that only makes it faster, so it is in no key


def missing_inputs(step: Step, made: Mapping[str, object]) -> list[str]:
    """Name the earlier steps whose artifact is not there yet."""
    needed = {given.step for given in step.inputs.values() if isinstance(given, Made)}
    return sorted(needed - set(made))
