"""Which command makes what is missing from a release, or no longer belongs to it."""

import shlex
from collections.abc import Collection

import msgspec

from mmdet_jetson.bundles.contents import (
    CHECKPOINT,
    DATASET,
    ENGINE,
    EVALUATION,
    IMAGE_TESTS,
    ONNX,
    PROFILE,
    PROOF,
    REPORT,
    Contents,
    PartName,
)
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.report import BASE, DOCUMENTED
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.planning import stages

COMMANDS = {
    DATASET: stages.DATASET.verb,
    CHECKPOINT: stages.TRAINING.verb,
    ONNX: stages.EXPORT.verb,
    ENGINE: stages.ENGINE.verb,
    EVALUATION: stages.EVALUATE_ENGINE.verb,
    PROOF: stages.REPORT.verb,  # which needs it; there is no command of its own
    PROFILE: stages.PROFILE.verb,
    REPORT: stages.REPORT.verb,
}
"""The command for each kind of part."""


def command_for(part: PartName, project: Project | None = None) -> str:
    """Spell the command that makes a part; ``project`` is the one that it is of, where known.

    For a kind that is no part of a release, the one that makes everything.
    """
    if part.kind == IMAGE_TESTS:
        return f"invoke images.test --name {part.subject}"
    is_target = part.subject not in ("", BASE, TRAINED, DOCUMENTED)
    targets = [part.subject] if is_target else []
    verb = (
        "build-jetson-engine" if _on_device(part, project) else COMMANDS.get(part.kind, "pipeline")
    )
    if project:
        if part.kind == CHECKPOINT and project.pipeline.model:
            verb = stages.MODEL.verb
        return project.command(verb, *targets)
    return " ".join([f"invoke {verb}", *(f"--target {target}" for target in targets)])


def as_measured(contents: Contents, project: Project, stale: Collection[PartName] = ()) -> Project:
    """The project as its profiles were told to time, so that its commands do not time anew.

    A setting that profiles do not agree on stays as it is, and all do where one is ``stale``.
    """
    profiles = contents.of_kind(PROFILE)
    if any(part.kind == PROFILE for part in stale):
        return project
    words = list[str]()
    for name, configured in msgspec.structs.asdict(project.pipeline.profile).items():
        told = [each.provenance.parameters.get(name) for each in profiles.values()]
        numbers = {each for each in told if isinstance(each, int | float)}
        if len(numbers) == 1 and numbers != {configured}:
            words += ["--set", f"profile.{name}={numbers.pop()}"]
    typed = " ".join(filter(None, (project.typed, shlex.join(words))))
    return msgspec.structs.replace(project, typed=typed)


def _on_device(part: PartName, project: Project | None) -> bool:
    """Whether only the device itself makes it."""
    target = project.targets.get(part.subject) if project else None
    of_device = part.kind in (ENGINE, EVALUATION, PROFILE)
    return bool(target and of_device and BACKENDS[target.backend].builds_on_its_device)
