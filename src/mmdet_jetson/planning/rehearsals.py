"""The steps between a check and a training: an engine is made of the untrained model, by target.

Each runs in the environment of its target, for that is where engines are made.
"""

from collections.abc import Sequence

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.contract.parameters.rehearse import SIZES, RehearseParameters, export_folder
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.steps import Step

PICTURES = ("training", "validation")
"""The inputs of an engine that is calibrated."""


def rehearsals(check: Step, later: Sequence[Step]) -> list[Step]:
    """Plan one for each engine among the steps behind a training.

    The image of an engine that is compiled on its device is for that device. So it is rehearsed in
    the image of another target, where there is one.
    """
    exported = exported_as(later)
    engines = [step for step in later if step.stage is stages.ENGINE]
    images = [each.image for each in engines if each.image and not _needs_device(each)]
    return [_rehearsal(check, engine, exported[engine.subject], images[:1]) for engine in engines]


def exported_as(later: Sequence[Step]) -> dict[str, str]:
    """Say for each target which export its check makes for it: the first one that is the same."""
    first: list[tuple[ExportParameters, str]] = []
    found: dict[str, str] = {}
    for step in later:
        wanted = step.parameters
        if isinstance(wanted, ExportParameters):
            first.append((wanted, step.subject))
            found[step.subject] = next(name for each, name in first if each == wanted)
    engines = {step.subject for step in later if step.stage is stages.ENGINE}
    return {target: name for target, name in found.items() if target in engines}


def _rehearsal(check: Step, engine: Step, exported: str, images: Sequence[str]) -> Step:
    told = engine.parameters
    assert isinstance(told, EngineParameters)  # as its stage's are
    image = next(iter(images), "") if _needs_device(engine) else engine.image
    pictures = {name: engine.inputs[name] for name in PICTURES if name in engine.inputs}
    return Step(
        stage=stages.REHEARSE,
        subject=engine.subject,
        parameters=RehearseParameters(exported, told),
        inputs={"check": check.output(export_folder(exported), SIZES), **pictures},
        environment=engine.environment,
        image=image,
    )


def _needs_device(engine: Step) -> bool:
    told = engine.parameters
    return isinstance(told, EngineParameters) and BACKENDS[told.backend].builds_on_its_device
