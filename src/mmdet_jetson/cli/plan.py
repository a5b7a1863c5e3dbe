"""``invoke plan``: every step, whether it is made already, and what it needs, for people and CI.

With ``--json`` one object goes to standard output, and nothing else does. Fields are only added:

``pipeline``      the run name; artifacts are tagged ``<pipeline>.<name of step>``
``registry``      the registry of ``[store]``, or null
``steps``         a list, each behind the steps that it reads:

    ``name``          as ``invoke status`` and ``invoke why`` name it
    ``stage``         dataset, check, train, model, export, engine, evaluate, prove, profile or
                      report
    ``subject``       what it is about: a target, base, checkpoint, documented; "" for one alone
    ``state``         here, registry, missing, damaged, waiting (for a step that it reads),
                      not-needed (it only comes before steps whose results are known) or elsewhere
                      (another machine makes it, which alone knows its key)
    ``reasons``       sentences that say why
    ``key``           64 hex digits; null while it is waiting or elsewhere
    ``artifact``      null, or digest, kind, created, seconds (that it took) and size in bytes
    ``reads``         names of the steps whose results it reads
    ``after``         names of the steps that have to come first, and are not read
    ``environment``   train, deploy, deploy-openvino or deploy-rtx
    ``image``         its image with --runtime docker: a name in images.toml; "" for none
    ``gpu``           whether it cannot run without an NVIDIA GPU
    ``uses_gpu``      whether it uses one that is there
    ``target``        null, or name, description, backend and precision of its target;
                      builds_on_device: whether it is compiled on the device itself;
                      compute_capabilities: of the GPUs that it is compiled for; and what its device
                      must report, or null: l4t, jetpack, cuda, tensorrt, sm, module. Several
                      versions have " or " between them
    ``command``       what makes it, and all that it still needs; add --push, --runtime as you need
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from mmdet_jetson.cli.request import Request
from mmdet_jetson.cli.verbs import Session, session
from mmdet_jetson.config.images import load_images
from mmdet_jetson.config.references import images_file
from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import FACTS
from mmdet_jetson.contract.parameters.evaluate import EvaluateCheckpointParameters
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.planning import compatibility, explain, stages
from mmdet_jetson.planning.explain import State
from mmdet_jetson.planning.steps import Step, StepOutput
from mmdet_jetson.store import Artifact

WORDS = {"cached": "here", explain.IN_REGISTRY: "registry", "not needed": "not-needed"}
"""States by other words than `explain.State` has; JSON has no blanks in them."""
ON_DEVICE = (stages.ENGINE, stages.EVALUATE_ENGINE, stages.PROFILE)
"""What ``invoke build-jetson-engine`` makes of a target."""
OF_ALL = (stages.DATASET.verb, *(each.verb for each in stages.CHECKPOINTS))
"""Commands that know no targets."""


def show_plan(request: Request, *, as_json: bool) -> None:
    """List every step, as JSON or as a table; nothing is run or fetched."""
    with session(request) as now:
        states = [_if_here(state, now) for state in now.states()]
        told = [_told(state, now, request) for state in states]
        registry = now.shared.place.name if now.shared else None
    if as_json:
        said = json.dumps({"pipeline": now.name, "registry": registry, "steps": told}, indent=2)
        Console().out(said, highlight=False)
        return
    Console().print(_table(now.name, told))


def _if_here(state: State, now: Session) -> State:
    """Take its key from a step of a device that this machine is not: no result will have it."""
    target = _target(state.step, now)
    if target is None or state.artifact or state.step.stage not in ON_DEVICE:
        return state
    images = load_images(images_file(now.settings.root))
    name = state.step.subject
    machine = now.runtimes.of_target(name).machine
    problem = compatibility.misfit(name, target, state.step.stage.verb, machine, images)
    return replace(state, word="elsewhere", reasons=(problem,), key="") if problem else state


def _target(step: Step, now: Session) -> Target | None:
    return now.project.used_targets.get(step.subject)


def _told(state: State, now: Session, request: Request) -> dict[str, object]:
    step, target = state.step, _target(state.step, now)
    read = {each.step for each in step.inputs.values() if isinstance(each, StepOutput)}
    return {
        "name": step.name,
        "stage": step.stage.verb,
        "subject": step.subject,
        "state": WORDS.get(state.word, state.word),
        "reasons": list(state.reasons),
        "key": state.key or None,
        "artifact": _facts(state.artifact) if state.artifact else None,
        "reads": sorted(read | {step.judges} - {""}),
        "after": list(step.after),
        "environment": step.environment,
        "image": step.image,
        "gpu": _needs_gpu(step),
        "uses_gpu": step.uses_gpu,
        "target": _described(step.subject, target) if target else None,
        "command": _command(step, target, request),
    }


def _facts(artifact: Artifact) -> dict[str, object]:
    return {
        "digest": artifact.digest,
        "kind": artifact.kind,
        "created": artifact.provenance.created,
        "seconds": artifact.provenance.seconds,
        "size": artifact.size,
    }


def _needs_gpu(step: Step) -> bool:
    """Whether it cannot do without: a training with device ``auto`` takes what there is."""
    told = step.parameters
    if isinstance(told, TrainParameters | EvaluateCheckpointParameters):
        return told.device == "cuda"
    return step.uses_gpu and step.stage.runs_engines


def _described(name: str, target: Target) -> dict[str, object]:
    facts: Mapping[str, str] = target.facts
    return {
        "name": name,
        "description": target.description,
        "backend": target.backend,
        "precision": target.precision,
        "builds_on_device": BACKENDS[target.backend].builds_on_its_device,
        "compute_capabilities": list(target.compute_capabilities),
        **{fact: facts.get(fact) for fact in FACTS},
        "module": target.module,
    }


def _command(step: Step, target: Target | None, request: Request) -> str:
    """Spell the command that makes a step; a proof is made for the report, by no command alone."""
    verb = step.stage.verb
    if target and BACKENDS[target.backend].builds_on_its_device and step.stage in ON_DEVICE:
        verb = "build-jetson-engine"
    elif step.stage is stages.PROVE:
        verb = stages.REPORT.verb
    if verb in OF_ALL:
        return " ".join(filter(None, ("invoke", verb, replace(request, precision="").typed)))
    named = [step.subject] if target else request.targets
    chosen = [word for name in named for word in ("--target", name)]
    given = ["--onnx", request.onnx] if request.onnx else []
    return " ".join(filter(None, ("invoke", verb, request.typed, shlex.join(chosen + given))))


def _table(name: str, told: list[dict[str, object]]) -> Table:
    """Tabulate the steps, narrow enough for 80 columns; commands are too long for that."""
    lines = Table(
        title=f"pipeline {name}", caption="with --json: what makes each, and what of it is read",
        show_edge=False, pad_edge=False,
    )  # fmt: skip
    lines.add_column("step", no_wrap=True)
    lines.add_column("state", overflow="fold")
    lines.add_column("key", no_wrap=True)
    for column in ("environment", "needs"):
        lines.add_column(column, overflow="fold")
    for each in told:
        gpu = "a GPU" if each["gpu"] else ""
        key = str(each["key"] or "")[:12]
        lines.add_row(str(each["name"]), str(each["state"]), key, str(each["environment"]), gpu)
    return lines
