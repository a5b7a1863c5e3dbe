"""Other runs that a report shows beside its own: inputs of the step that makes it.

They are read from the store as they are when it is planned, so the report's key knows them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mmdet_jetson.contract.parameters.report import ComparedRun, ReportParameters, compared_input
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.steps import ExternalInput, Input, Step


@dataclass(frozen=True)
class Compared:
    """A run, and what the report reads of it, named as its own report names its inputs."""

    run: ComparedRun
    inputs: Mapping[str, ExternalInput]


def with_compared(steps: Sequence[Step], compared: Sequence[Compared]) -> tuple[Step, ...]:
    """The same steps, whose report shows these runs as well."""
    return tuple(
        _beside(step, compared) if compared and step.stage is stages.REPORT else step
        for step in steps
    )


def _beside(step: Step, compared: Sequence[Compared]) -> Step:
    if not isinstance(step.parameters, ReportParameters):
        raise TypeError(f"{step.name}: not the parameters of a report")
    read: dict[str, Input] = dict(step.inputs)
    for number, each in enumerate(compared):
        # Without its artifact: the page tells what this run was made of, and of others what they
        # are called.
        read |= {
            compared_input(number, name): replace(found, artifact=None)
            for name, found in each.inputs.items()
        }
    runs = tuple(each.run for each in compared)
    return replace(step, parameters=replace(step.parameters, compared=runs), inputs=read)
