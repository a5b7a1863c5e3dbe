"""The pipeline as data: every step in order, with its environment, inputs and outputs.

======================== =========== ============================== ==============
step                     environment reads                          makes
======================== =========== ============================== ==============
``dataset``              train       the source                     dataset
``train``                train       dataset, config, weights       checkpoint
``evaluate-base``        train       weights, config, validation    evaluation
``evaluate-checkpoint``  train       checkpoint, validation         evaluation
``export-documented``    train       checkpoint, deploy config      onnx
``export-TARGET``        train       checkpoint, deploy config      onnx
``engine-TARGET``        deploy      onnx                           engine
``evaluate-TARGET``      deploy      engine, validation             evaluation
``prove-TARGET``         deploy      graphs, engine, PyTorch's boxes proof
``profile-TARGET``       deploy      engine, validation             profile
``report``               train       all of these                   report
======================== =========== ============================== ==============
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.targets import Target
from mmdet_jetson.config.toml import flatten
from mmdet_jetson.planning.config_files import config_input
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import Given, Made, Step
from mmdet_jetson.running.run_step import Workshop, run_step
from mmdet_jetson.store import Artifact, Store

TRAINING = Made("dataset", ("train", "train.json"))
VALIDATION = Made("dataset", ("val", "val.json"))
CHECKPOINT = Made("train", ("best.pth", "config.py"))


def plan(project: Project, inputs: Inputs) -> tuple[Step, ...]:
    """List every step of the project's pipeline; nothing is run, fetched or written.

    Raises:
        ConfigError: a config file that a step needs is missing or broken.
    """
    steps = [_dataset(project, inputs), _train(project, inputs)]
    if project.pipeline.train.weights:
        steps.append(_evaluate_checkpoint(project, "base", {"weights": _weights(project, inputs)}))
    steps.append(_evaluate_checkpoint(project, "checkpoint", {}))
    if any(target.graph == "fused" for target in project.used_targets.values()):
        steps.append(_export_documented(project, inputs))
    for name, target in project.used_targets.items():
        steps += _target_steps(project, inputs, name, target)
    return (*steps, _report(project, steps))


def needed_for(steps: Sequence[Step], goals: Iterable[str]) -> tuple[Step, ...]:
    """Keep the steps named by ``goals`` and all that they are made from, in order."""
    wanted = set(goals)
    for step in reversed(steps):
        if step.name in wanted:
            wanted |= {given.step for given in step.inputs.values() if isinstance(given, Made)}
    return tuple(step for step in steps if step.name in wanted)


def run(steps: Sequence[Step], shop: Workshop, name: str) -> dict[str, Artifact]:
    """Run the steps in order and tag each artifact ``<name>.<step>``; return them by step."""
    made: dict[str, Artifact] = {}
    shop.runtime.check(steps)
    for step in steps:
        made[step.name] = run_step(step, shop, made)
        _tag(shop.store, made[step.name], f"{name}.{step.name}")
    return made


def _tag(store: Store, artifact: Artifact, tag: str) -> None:
    """Move a run name; where it already names the artifact nothing is written."""
    named = store.tags().get(tag)
    if named is None or named.digest != artifact.digest:
        store.tag(artifact, tag)


def _dataset(project: Project, inputs: Inputs) -> Step:
    dataset = project.pipeline.dataset
    parameters = msgspec.to_builtins(dataset)
    source = parameters.pop("source")
    given = {} if source is None else {"source": inputs.dataset(source)}
    return Step("dataset", "dataset", "train", "dataset", parameters, given)


def _train(project: Project, inputs: Inputs) -> Step:
    train = project.pipeline.train
    parameters = {
        **msgspec.to_builtins(train),
        "overrides": flatten(train.overrides),
        "classes": list(project.pipeline.dataset.classes),
        "input_size": list(project.pipeline.input_size),
    }
    given: dict[str, Made | Given] = {
        "dataset": Made("dataset"),
        "config": config_input(inputs.settings.root, train.config),
    }
    if parameters.pop("weights"):
        given["weights"] = _weights(project, inputs)
    return Step(
        "train",
        "train",
        "train",
        "checkpoint",
        parameters,
        given,
        uses_gpu=train.device != "cpu",
        resumable=True,
    )


def _weights(project: Project, inputs: Inputs) -> Given:
    return inputs.weights(str(project.pipeline.train.weights))


def _evaluate_checkpoint(project: Project, subject: str, extra: Mapping[str, Given]) -> Step:
    parameters = {
        "subject": subject,
        "device": project.pipeline.train.device,
        **msgspec.to_builtins(project.pipeline.evaluate),
    }
    return Step(
        f"evaluate-{subject}",
        "evaluate_checkpoint",
        "train",
        "evaluation",
        parameters,
        {"checkpoint": CHECKPOINT, "dataset": VALIDATION, **extra},
        uses_gpu=project.pipeline.train.device != "cpu",
        is_evidence=True,
        judges="train",
    )


def _target_steps(project: Project, inputs: Inputs, name: str, target: Target) -> tuple[Step, ...]:
    steps = (
        _export(project, inputs, name, target),
        _engine(inputs, name, target),
        _evaluate_engine(project, name, target),
    )
    proof = (_prove(name, target),) if target.graph == "fused" else ()
    return (*steps, *proof, _profile(project, name, target))


def _export(project: Project, inputs: Inputs, name: str, target: Target) -> Step:
    parameters = _export_parameters(project, target.backend, target.graph)
    if target.graph == "fused":
        export = project.pipeline.export
        parameters |= {
            "input": target.input,
            "batch": target.batch,
            "thresholds": export.thresholds,
            "candidates": export.candidates,
            "rounds": export.rounds,
        }
    return _export_step(name, parameters, inputs)


def _export_documented(project: Project, inputs: Inputs) -> Step:
    """The graph that fused ones are compared with: the one ONNX Runtime needs no plugin for."""
    parameters = _export_parameters(project, "onnxruntime", "documented")
    return _export_step("documented", parameters, inputs)


def _export_parameters(project: Project, backend: str, graph: str) -> dict[str, Any]:
    return {
        "backend": backend,
        "graph": graph,
        "deploy_config": getattr(project.pipeline.export, backend.removesuffix("_rtx")),
        "input_size": list(project.pipeline.input_size),
    }


def _export_step(name: str, parameters: dict[str, Any], inputs: Inputs) -> Step:
    given: dict[str, Made | Given] = {
        "checkpoint": CHECKPOINT,
        "config": config_input(inputs.settings.root, parameters["deploy_config"]),
    }
    return Step(f"export-{name}", "export", "train", "onnx", parameters, given)


def _engine(inputs: Inputs, name: str, target: Target) -> Step:
    parameters: dict[str, Any] = {
        "target": name,
        "backend": target.backend,
        "precision": target.precision,
        "compute_capabilities": list(target.compute_capabilities),
    }
    given: dict[str, Made | Given] = {"onnx": Made(f"export-{name}")}
    if target.precision == "int8":
        # The validation split is there to be kept out: the stage compares the pictures of the two.
        given |= {"training": TRAINING, "validation": VALIDATION}
        parameters["calibration_pictures"] = target.calibration_pictures
    if target.plugin and target.graph == "documented":
        given["plugin"] = inputs.plugin(target.plugin, f"targets.toml: {name}.plugin")
    environment = _environment(target)
    return Step(
        f"engine-{name}",
        "engine",
        environment,
        "engine",
        parameters,
        given,
        **_place(target),
        reuses="timing.cache" if target.backend == "tensorrt" else "",
    )


def _environment(target: Target) -> str:
    """TensorRT for RTX is large, so it is installed for targets that use it, only."""
    return "deploy-rtx" if target.backend == "tensorrt_rtx" else "deploy"


def _place(target: Target) -> dict[str, Any]:
    """Where a target's steps run when they run in containers."""
    return {"image": target.image or "", "uses_gpu": target.backend != "onnxruntime"}


def _evaluate_engine(project: Project, name: str, target: Target) -> Step:
    parameters = {"target": name, **msgspec.to_builtins(project.pipeline.evaluate)}
    given = {"engine": Made(f"engine-{name}"), "dataset": VALIDATION}
    return Step(
        f"evaluate-{name}",
        "evaluate_engine",
        _environment(target),
        "evaluation",
        parameters,
        given,
        **_place(target),
        is_evidence=True,
        judges=f"engine-{name}",
    )


def _prove(name: str, target: Target) -> Step:
    given: dict[str, Made | Given] = {
        "onnx": Made(f"export-{name}"),
        "documented": Made("export-documented"),
        "engine": Made(f"engine-{name}"),
        "dataset": VALIDATION,
        "reference": Made("evaluate-checkpoint", ("predictions.json", "metrics.json")),
    }
    return Step(
        f"prove-{name}",
        "prove",
        _environment(target),
        "proof",
        {"target": name},
        given,
        **_place(target),
        is_evidence=True,
        judges=f"engine-{name}",
    )


def _profile(project: Project, name: str, target: Target) -> Step:
    timing = msgspec.to_builtins(project.pipeline.profile)
    parameters = {"target": name, **timing}
    given = {"engine": Made(f"engine-{name}"), "dataset": VALIDATION}
    return Step(
        f"profile-{name}",
        "profile",
        _environment(target),
        "profile",
        parameters,
        given,
        **_place(target),
        is_evidence=True,
        judges=f"engine-{name}",
        measures_device=True,
    )


def _report(project: Project, steps: Sequence[Step]) -> Step:
    """Judge and show everything: one input a step, named by what it shows."""
    parameters = {
        "name": project.pipeline.name,
        "gates": msgspec.to_builtins(project.pipeline.gates),
        "targets": list(project.pipeline.targets),
    }
    given = {_shown_as(step): Made(step.name, _shown(step)) for step in steps}
    return Step("report", "report", "train", "report", parameters, given, reads_provenance=True)


def _shown_as(step: Step) -> str:
    """Name a report's input: its kind, and the target or checkpoint that it is of."""
    of = step.name.partition("-")[2]
    return f"{step.kind}-{of}" if of else step.kind


def _shown(step: Step) -> tuple[str, ...]:
    """What the report reads of a step: neither pictures by the thousand nor weights."""
    parts = {
        "dataset": ("summary.json", "val.json"),
        "checkpoint": ("metrics.json",),
        "onnx": ("graph.json",),
        "engine": ("passport.json",),
    }
    return parts.get(step.kind, ())
