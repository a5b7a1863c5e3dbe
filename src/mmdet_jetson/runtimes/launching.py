"""How the processes of a stage are started, on one machine; a runtime of several has its own way.

What they are told is in `contract/process.py`, and is the same wherever they run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mmdet_jetson.contract.process import WORLD
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.steps import Spread, Step


@dataclass(frozen=True)
class Launch:
    """What to start, and what to add to its environment."""

    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


Launcher = Callable[[Sequence[str], Spread], Launch]
"""Given ``[python, "-m", MODULE, FOLDER]`` and how many processes that is to be."""


def on_one_machine(command: Sequence[str], spread: Spread) -> Launch:
    """Start a stage on one machine: where it is several processes, it starts the others itself.

    It does so by torchrun's own launcher, inside its environment (`stages/training/ranks.py`).
    """
    return Launch(command, {WORLD: str(spread.world)} if spread.world > 1 else {})


def check_one_machine(steps: Sequence[Step]) -> None:
    """Refuse what asks for several machines of a runtime that has one.

    Raises:
        UserError: says which step does.
    """
    for step in steps:
        if step.spread.nodes > 1:
            raise UserError(
                f"{step.name}: train.nodes is {step.spread.nodes}, but stages run on one machine "
                "here",
                "add --runtime slurm, or set train.nodes to 1",
            )
