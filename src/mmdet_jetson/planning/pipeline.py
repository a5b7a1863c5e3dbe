"""The pipeline as data: every step that a configuration asks for, in order.

What the stages are is `stages.STAGES`; here is what each step is told and what it reads.
"""

from dataclasses import dataclass
from dataclasses import replace as copy_of
from pathlib import Path

from msgspec.structs import replace

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.evaluate import (
    DrawingParameters,
    EvaluateCheckpointParameters,
    EvaluateEngineParameters,
)
from mmdet_jetson.contract.parameters.export import ExportParameters, FusedParameters
from mmdet_jetson.contract.report import BASE, CHECKPOINT, DOCUMENTED
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.config_files import (
    carried_by,
    carried_folders,
    config_input,
    config_name,
)
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.model_step import model_step
from mmdet_jetson.planning.rehearsals import rehearsals
from mmdet_jetson.planning.steps import Step, StepOutput, name_of
from mmdet_jetson.planning.target_steps import VALIDATION, WEIGHTS, TargetSteps, drawing_of
from mmdet_jetson.planning.training_steps import (
    Origin,
    check_step,
    dataset_step,
    model_of,
    train_step,
)
from mmdet_jetson.store import Artifact


def plan(project: Project, inputs: Inputs) -> tuple[Step, ...]:
    """List every step of the project's pipeline; nothing is run, fetched or written.

    Raises:
        ConfigError: a config file that a step needs is missing or broken.
    """
    project = _with_names(project, inputs.settings.root)
    first, dataset, origin = _beginning(project, inputs)
    planner = _Planner(project, inputs, dataset, origin)
    reference, documented = planner.evaluate_checkpoint(), planner.documented()
    later = [*planner.evaluate_base(), reference, *documented]
    behind = TargetSteps(project, inputs, dataset)
    for name, target in project.used_targets.items():
        export = planner.export(name, target)
        engine = behind.engine(name, target, export)
        evidence = behind.evidence(target, export, engine, [reference, *documented])
        later += [export, engine, *evidence]
    check = check_step(project, dataset, origin, later)
    checks = (check, *rehearsals(check, later))
    after = tuple(step.name for step in checks)
    made = origin.step
    shown = [dataset, made, *later]
    if made.stage is stages.TRAINING:
        waiting = copy_of(made, after=after)
        return (*first, *checks, waiting, *later, behind.report(shown))
    # What was taken is there before the check; the first to take long is its evaluation.
    waiting = copy_of(reference, after=after)
    later[later.index(reference)] = waiting
    return (*first, *checks, *later, behind.report(shown))


def _beginning(project: Project, inputs: Inputs) -> tuple[tuple[Step, ...], Step, Origin]:
    """The steps before the check, of them the dataset, and what makes the checkpoint."""
    if model := project.pipeline.model:
        taken = model_step(project, inputs, model)
        dataset = dataset_step(project, inputs, taken.step)
        checkpoint = taken.step.output(*WEIGHTS, *taken.carried)
        return (taken.step, dataset), dataset, Origin(taken.step, checkpoint)
    dataset = dataset_step(project, inputs)
    train = train_step(project, inputs, dataset)
    carried = carried_folders(inputs.settings.root, project.pipeline.training.config)
    return (dataset,), dataset, Origin(train, train.output(*WEIGHTS, *carried))


def _with_names(project: Project, root: Path) -> Project:
    """Call the config files of a project as the stages find them in their inputs."""
    train, export = project.pipeline.train, project.pipeline.export
    if train and not project.pipeline.model:
        train = replace(train, config=config_name(root, train.config))
    kinds = {backend.deploy_config for backend in BACKENDS.values()}
    named = {kind: config_name(root, getattr(export, kind)) for kind in kinds}
    pipeline = replace(project.pipeline, train=train, export=replace(export, **named))
    return replace(project, pipeline=pipeline)


def compared_targets(project: Project) -> list[Target]:
    """The targets whose graph is compared with the documented one."""
    fused = [each for each in project.used_targets.values() if each.graph == "fused"]
    return fused if project.pipeline.export.compare_documented else []


def evaluate_again(project: Project, checkpoint: Artifact) -> Step:
    """The evaluation of a checkpoint that some run made, on a dataset that may be another one's.

    It reads artifacts of the steps `train` and `dataset`, and has the key of the pipeline's own
    evaluation where these are the pipeline's own.
    """
    weights = StepOutput(name_of(stages.TRAINING), (*WEIGHTS, *carried_by(checkpoint)))
    return _evaluation_of(project, weights, StepOutput(name_of(stages.DATASET), VALIDATION))


def _evaluation_of(project: Project, checkpoint: StepOutput, validation: StepOutput) -> Step:
    device = project.pipeline.device
    return Step(
        stage=stages.EVALUATE_CHECKPOINT,
        subject=CHECKPOINT,
        parameters=EvaluateCheckpointParameters(
            CHECKPOINT,
            device,
            drawing_of(project),
            precision=project.pipeline.evaluate.precision,
        ),
        inputs={"checkpoint": checkpoint, "dataset": validation},
        uses_gpu=device != "cpu",
        judges=checkpoint.step,
    )


@dataclass(frozen=True)
class _Planner:
    """Plans the steps behind a checkpoint."""

    project: Project
    inputs: Inputs
    dataset: Step
    origin: Origin

    @property
    def checkpoint(self) -> StepOutput:
        return self.origin.checkpoint

    @property
    def validation(self) -> StepOutput:
        return self.dataset.output(*VALIDATION)

    @property
    def drawing(self) -> DrawingParameters:
        return drawing_of(self.project)

    def evaluate_base(self) -> list[Step]:
        """The weights before the training, where there are some; nothing of a training decides it.

        They come from outside, so there is no artifact that this judges.
        """
        train = self.origin.step
        if train.stage is not stages.TRAINING or "weights" not in train.inputs:
            return []
        device = self.project.pipeline.device
        model = model_of(self.project)
        return [
            Step(
                stage=stages.EVALUATE_CHECKPOINT,
                subject=BASE,
                parameters=EvaluateCheckpointParameters(
                    BASE, device, self.drawing, model, self.project.pipeline.evaluate.precision
                ),
                inputs={
                    "config": train.inputs["config"],
                    "weights": train.inputs["weights"],
                    "dataset": self.validation,
                },
                uses_gpu=device != "cpu",
            )
        ]

    def evaluate_checkpoint(self) -> Step:
        return _evaluation_of(self.project, self.checkpoint, self.validation)

    def documented(self) -> list[Step]:
        """MMDeploy's graph, which fused ones are compared with: for ONNX Runtime, without a plugin.

        It is run where engines are, in the image of the first target that is compared with it.
        """
        compared = compared_targets(self.project)
        if not compared:
            return []
        export = self._export(DOCUMENTED, "onnxruntime", None)
        evaluate = Step(
            stage=stages.EVALUATE_ENGINE,
            subject=DOCUMENTED,
            parameters=EvaluateEngineParameters(
                self.drawing, self.project.pipeline.evaluate.precision
            ),
            inputs={"onnx": export.output(), "dataset": self.validation},
            environment=BACKENDS["onnxruntime"].environment,
            image=compared[0].image or "",
            judges=export.name,
        )
        return [export, evaluate]

    def export(self, name: str, target: Target) -> Step:
        """The graph that a target's engine is compiled from."""
        return self._export(name, target.backend, self._fused(target))

    def _fused(self, target: Target) -> FusedParameters | None:
        if target.graph != "fused":
            return None
        export = self.project.pipeline.export
        return FusedParameters(
            input=target.input,
            batch=target.batch,
            thresholds=export.thresholds,
            candidates=export.candidates,
            rounds=export.rounds,
        )

    def _export(self, subject: str, backend: str, fused: FusedParameters | None) -> Step:
        deploy_config: str = getattr(self.project.pipeline.export, BACKENDS[backend].deploy_config)
        return Step(
            stage=stages.EXPORT,
            subject=subject,
            parameters=ExportParameters(
                backend=backend,
                deploy_config=deploy_config,
                input_size=self.project.pipeline.input_size,
                fused=fused,
            ),
            inputs={
                "checkpoint": self.checkpoint,
                "config": config_input(self.inputs.settings.root, deploy_config),
            },
        )
