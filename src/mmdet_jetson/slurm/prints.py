"""What a step is before its key can be known: from its own parts, and those of the steps before it.

Two plans that agree in a step's print make the same of it, whatever is made by then. So a second
command finds a job that is queued, and a job finds out that a file was edited since.
"""

import hashlib
import json
from collections.abc import Collection, Sequence

from mmdet_jetson.contract.records import encode
from mmdet_jetson.planning.keys import source_of
from mmdet_jetson.planning.steps import ExternalInput, Input, Step, StepOutput


def parts_of(step: Step, environment: str) -> dict[str, str]:
    """A step's own parts, by the words that a sentence names them with.

    What it reads of steps before it is named only, as it may not be made yet.
    """
    parts = {f"parameter {name}": _text(value) for name, value in encode(step.parameters).items()}
    parts |= {f"input {name}": _input(each) for name, each in step.inputs.items()}
    parts["source of its stage"] = source_of(step)
    parts["environment"] = environment
    parts["number of processes"] = f"{step.spread.nodes} x {step.spread.processes}"
    return parts


def fingerprints(
    steps: Sequence[Step], batch: Collection[str], environments: dict[str, str]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The print of each step, and its parts, both by step.

    ``environments`` has what is known of the environment of each that is for Slurm; of others
    nothing is told, since a node cannot ask the Docker host that they are for.
    """
    prints: dict[str, str] = {}
    parts: dict[str, dict[str, str]] = {}
    for step in steps:
        own = parts_of(step, environments[step.name] if step.name in batch else "")
        before = {each.step for each in step.inputs.values() if isinstance(each, StepOutput)}
        before |= {step.judges} if step.judges else set()
        behind = [prints[name] for name in sorted(before)]
        prints[step.name] = hashlib.sha256(_text([step.name, own, behind]).encode()).hexdigest()
        parts[step.name] = own
    return prints, parts


def _input(each: Input) -> str:
    if isinstance(each, ExternalInput):
        return each.digest()
    return _text([each.step, *each.parts])


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
