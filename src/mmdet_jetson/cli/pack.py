"""``invoke pack``: what a device needs to build, measure and judge engines, in one folder."""

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import Session, make, session
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.contract.report import BASE
from mmdet_jetson.files import disk_errors, folder_to_write, make_folder, move_new
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.given import ALONG, evidence_for
from mmdet_jetson.planning.given_artifacts import LATER
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.planning.target_steps import CALIBRATION
from mmdet_jetson.slurm.records import Ending
from mmdet_jetson.store import Artifact, Store


def pack(into: str, request: Request) -> None:
    """Make what is missing, then write a store of its own into a folder that is not there yet.

    It has the targets' exports, the validation pictures, training pictures where a target is in 8
    bits, and what the detections in PyTorch and those of the documented graph were.
    """
    folder = folder_to_write(into, read_settings().artifacts, new=True)
    with session(request, Ending("pack", {"into": str(folder)})) as now:
        if now.given:
            now.given.refuse("pack")
        steps = list(packed(now))
        made = make(now, steps)
        _write(now, steps, made, folder)
    sentence = "\n".join(_next_steps(now.project, into, folder.name))
    Console().print(sentence, highlight=False, markup=False, soft_wrap=True)


def _next_steps(project: Project, into: str, name: str) -> Iterator[str]:
    """Say what to type next; targets may be of different devices, so of each by itself."""
    targets = project.pipeline.targets
    needs = f"{', '.join(targets)} need{'s' if len(targets) == 1 else ''}"
    yield f"{into} has what {needs} of {project.pipeline.name}. Copy it to the device, and there:"
    for target in targets:
        for verb in ("build-jetson-engine", "report"):
            yield f"  {project.command(verb, target)} --onnx {shlex.quote(name)}"


def packed(now: Session) -> Iterator[Step]:
    """The steps whose artifacts come along: what engines are made and measured from."""
    needed = [*evidence_for(now.project), (stages.EVALUATE_CHECKPOINT, BASE)]
    needed += [(stages.EXPORT, target) for target in now.project.used_targets]
    return (step for step in now.steps if (step.stage, step.subject) in needed)


def _parts(now: Session, step: Step, artifact: Artifact) -> tuple[str, ...] | None:
    if step.stage is not stages.DATASET:
        return None
    later = tuple(title for title in LATER if title in artifact.titles)
    calibrates = any(each.precision == "int8" for each in now.project.used_targets.values())
    return (*ALONG, *later, *CALIBRATION) if calibrates else (*ALONG, *later)


def _write(now: Session, steps: Sequence[Step], made: Mapping[str, Artifact], folder: Path) -> None:
    """Write all or nothing: the folder appears when it is complete."""
    with disk_errors(folder.parent):
        make_folder(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".pack-") as scratch:
            store = Store(Path(scratch, "store"))
            for step in steps:
                artifact, files = made[step.name], Path(scratch, step.name)
                now.store.checkout(artifact, files, _parts(now, step, artifact))
                # Not what it judges: a checkpoint does not come along.
                store.put(artifact.kind, files, artifact.provenance, [f"{now.name}.{step.name}"])
                shutil.rmtree(files)
            move_new(store.root, folder)
