"""What the stage `report` is told."""

from dataclasses import dataclass
from typing import Mapping, Tuple

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.parameters.base import Parameters

MOST_COMPARED = 5
"""More runs beside this one cannot be told apart in a chart."""


def compared_input(number: int, name: str) -> str:
    """Name an input that is of a compared run: its number, and what it is called in its report."""
    return f"compared-{number}-{name}"


@dataclass(frozen=True)
class ComparedRun:
    """Another run that a report shows beside its own.

    ``validation`` is the digest of the pictures that it was evaluated on, "" where it is not known;
    ``origin`` that of its checkpoint or evaluation, for people.
    """

    name: str
    targets: Tuple[str, ...]
    validation: str
    origin: str


@dataclass(frozen=True)
class ReportParameters(Parameters):
    """``gates`` are limits by the names of `contract.gates.GATES`.

    ``proofs`` are the targets whose engine has to be proven, each with its tolerances;
    ``compared`` are the runs to show beside this one, whose inputs `compared_input` names.
    """

    name: str
    gates: Mapping[str, float]
    proofs: Mapping[str, Tolerances]
    targets: Tuple[str, ...]
    compared: Tuple[ComparedRun, ...] = ()
