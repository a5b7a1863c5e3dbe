"""The pipeline as data: every step that a configuration asks for, in order.

What the stages are is `stages.STAGES`; here is what each step is told and what it reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.evaluate import (
    DrawingParameters,
    EvaluateCheckpointParameters,
    EvaluateEngineParameters,
)
from mmdet_jetson.contract.parameters.export import ExportParameters, FusedParameters
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.parameters.report import ReportParameters
from mmdet_jetson.contract.report import BASE, CHECKPOINT, DOCUMENTED, input_name
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.config_files import carried_folders, config_input
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import Input, Step, StepOutput
from mmdet_jetson.planning.training_steps import check_step, dataset_step, model_of, train_step

# What the report reads of each kind: neither pictures by the thousand nor weights.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "dataset": ("summary.json", "val.json"),
    "checkpoint": ("metrics.json",),
    "onnx": ("graph.json",),
    "engine": ("passport.json",),
}


def plan(project: Project, inputs: Inputs) -> tuple[Step, ...]:
    """List every step of the project's pipeline; nothing is run, fetched or written.

    Raises:
        ConfigError: a config file that a step needs is missing or broken.
    """
    dataset = dataset_step(project, inputs)
    train = train_step(project, inputs, dataset)
    planner = _Planner(project, inputs, dataset, train)
    reference, documented = planner.evaluate_checkpoint(), planner.documented()
    later = [*planner.evaluate_base(), reference, *documented]
    for name, target in project.used_targets.items():
        later += planner.of_target(name, target, [reference, *documented])
    check = check_step(project, dataset, train, later)
    return (dataset, check, train, *later, _report(project, [dataset, train, *later]))


@dataclass(frozen=True)
class _Planner:
    """Plans the steps behind a training."""

    project: Project
    inputs: Inputs
    dataset: Step
    train: Step

    @property
    def checkpoint(self) -> StepOutput:
        config = self.project.pipeline.train.config
        carried = carried_folders(self.inputs.settings.root, config)
        return self.train.output("best.pth", "config.py", *carried)

    @property
    def validation(self) -> StepOutput:
        return self.dataset.output("val", "val.json")

    @property
    def drawing(self) -> DrawingParameters:
        evaluate = self.project.pipeline.evaluate
        return DrawingParameters(evaluate.pictures, evaluate.draw_threshold)

    def evaluate_base(self) -> list[Step]:
        """The weights before the training, where there are some; nothing of a training decides it.

        They come from outside, so there is no artifact that this judges.
        """
        if "weights" not in self.train.inputs:
            return []
        device = self.project.pipeline.train.device
        model = model_of(self.project)
        return [
            Step(
                stage=stages.EVALUATE_CHECKPOINT,
                subject=BASE,
                parameters=EvaluateCheckpointParameters(BASE, device, self.drawing, model),
                inputs={
                    "config": self.train.inputs["config"],
                    "weights": self.train.inputs["weights"],
                    "dataset": self.validation,
                },
                uses_gpu=device != "cpu",
            )
        ]

    def evaluate_checkpoint(self) -> Step:
        device = self.project.pipeline.train.device
        return Step(
            stage=stages.EVALUATE_CHECKPOINT,
            subject=CHECKPOINT,
            parameters=EvaluateCheckpointParameters(CHECKPOINT, device, self.drawing),
            inputs={"checkpoint": self.checkpoint, "dataset": self.validation},
            uses_gpu=device != "cpu",
            judges=self.train.name,
        )

    def documented(self) -> list[Step]:
        """MMDeploy's graph, which fused ones are compared with: for ONNX Runtime, without a plugin.

        It is run where engines are, in the image of the first target that is compared with it.
        """
        compared = [each for each in self.project.used_targets.values() if each.graph == "fused"]
        if not (compared and self.project.pipeline.export.compare_documented):
            return []
        export = self._export(DOCUMENTED, "onnxruntime", None)
        evaluate = Step(
            stage=stages.EVALUATE_ENGINE,
            subject=DOCUMENTED,
            parameters=EvaluateEngineParameters(self.drawing),
            inputs={"onnx": export.output(), "dataset": self.validation},
            environment=BACKENDS["onnxruntime"].environment,
            image=compared[0].image or "",
            judges=export.name,
        )
        return [export, evaluate]

    def of_target(self, name: str, target: Target, references: Sequence[Step]) -> list[Step]:
        """A target's graph, its engine and the evidence of it.

        ``references`` are the checkpoint's evaluation and, where there are, the documented graph
        and its evaluation.
        """
        export = self._export(name, target.backend, self._fused(target))
        engine = self._engine(name, target, export)
        evaluate = self._on_device(
            stages.EVALUATE_ENGINE,
            name,
            target,
            EvaluateEngineParameters(self.drawing),
            engine,
        )
        timing = self.project.pipeline.profile
        profile = self._on_device(
            stages.PROFILE,
            name,
            target,
            ProfileParameters(timing.repeats, timing.warmup, target.power_mode),
            engine,
        )
        if target.graph != "fused":
            return [export, engine, evaluate, profile]
        tolerances = self.project.pipeline.gates.tolerances(target.precision)
        parameters = ProveParameters(name, tolerances)
        prove = self._prove(parameters, export, engine, evaluate, references)
        return [export, engine, evaluate, prove, profile]

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

    def _engine(self, name: str, target: Target, export: Step) -> Step:
        backend = BACKENDS[target.backend]
        read: dict[str, Input] = {"onnx": export.output()}
        if target.precision == "int8":
            # The validation split is there to be kept out: the stage compares pictures of the two.
            read["training"] = self.dataset.output("train", "train.json")
            read["validation"] = self.validation
        if target.plugin and target.graph == "documented":
            read["plugin"] = self.inputs.plugin(target.plugin, f"targets.toml: {name}.plugin")
        return Step(
            stage=stages.ENGINE,
            subject=name,
            parameters=EngineParameters(
                target=name,
                backend=target.backend,
                precision=target.precision,
                compute_capabilities=target.compute_capabilities,
                calibration_pictures=(
                    target.calibration_pictures if target.precision == "int8" else None
                ),
                needs=target.facts if backend.builds_on_its_device else {},
                builder=target.builder,
                session=target.session,
            ),
            inputs=read,
            environment=backend.environment,
            image=target.image or "",
            uses_gpu=backend.needs_gpu,
            reuses=backend.reuses,
        )

    def _on_device(
        self,
        stage: stages.Stage,
        name: str,
        target: Target,
        parameters: Parameters,
        engine: Step,
    ) -> Step:
        """A step that runs an engine on the validation pictures."""
        return Step(
            stage=stage,
            subject=name,
            parameters=parameters,
            inputs={"engine": engine.output(), "dataset": self.validation},
            environment=engine.environment,
            image=engine.image,
            uses_gpu=engine.uses_gpu,
            judges=engine.name,
        )

    def _prove(
        self,
        parameters: ProveParameters,
        export: Step,
        engine: Step,
        evaluate: Step,
        references: Sequence[Step],
    ) -> Step:
        """Compare what was detected already with PyTorch's detections, and the two graphs."""
        pytorch, *documented = references
        found = ("predictions.json", "metrics.json")
        read: dict[str, Input] = {
            "dataset": self.dataset.output("val.json"),
            "graph": export.output(),
            CHECKPOINT: pytorch.output(*found),
            "engine": evaluate.output(*found),
        }
        if documented:
            graph, evaluated = documented
            read |= {"documented_graph": graph.output(), DOCUMENTED: evaluated.output(*found)}
        return Step(
            stage=stages.PROVE,
            subject=parameters.target,
            parameters=parameters,
            inputs=read,
            judges=engine.name,
        )


def _report(project: Project, steps: Sequence[Step]) -> Step:
    """Judge and show everything: one input a step, named by what it shows."""
    return Step(
        stage=stages.REPORT,
        parameters=ReportParameters(
            name=project.pipeline.name,
            gates=project.pipeline.gates.limits,
            proofs={
                name: project.pipeline.gates.tolerances(target.precision)
                for name, target in project.used_targets.items()
                if target.graph == "fused"
            },
            targets=project.pipeline.targets,
        ),
        inputs={
            input_name(step.stage.makes, step.subject): step.output(
                *SHOWN.get(step.stage.makes, ())
            )
            for step in steps
        },
    )
