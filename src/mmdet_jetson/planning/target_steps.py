"""The steps behind an export: a target's engine, the evidence of it, and the report of all.

What they read may be made by steps before them, or be given: both are a `Made`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.targets import Target
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.evaluate import DrawingParameters, EvaluateEngineParameters
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.parameters.report import ReportParameters
from mmdet_jetson.contract.report import CHECKPOINT, DOCUMENTED, input_name
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import Input, Made, Step

VALIDATION = ("val", "val.json")
CALIBRATION = ("train", "train.json")
"""The entries of a dataset with the pictures of a split, and what is in them."""
WEIGHTS = ("best.pth", "config.py")
"""What is read of a checkpoint, besides modules that its config imports."""
DETECTED = ("predictions.json", "metrics.json")
"""What a proof reads of an evaluation."""
# What the report reads of each kind: neither pictures by the thousand nor weights.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "dataset": ("summary.json", "val.json", "glance.json"),
    "checkpoint": ("metrics.json",),
    "onnx": ("graph.json",),
    "engine": ("passport.json",),
}


def drawing_of(project: Project) -> DrawingParameters:
    """Say what evaluations draw."""
    evaluate = project.pipeline.evaluate
    return DrawingParameters(evaluate.pictures, evaluate.draw_threshold)


@dataclass(frozen=True)
class TargetSteps:
    """Plans the steps behind exports.

    ``judged_in`` is the environment that proves and reports: `stages.TRAIN`, which draws curves of
    trainings, too, or `stages.DEPLOY`.
    """

    project: Project
    inputs: Inputs
    dataset: Made
    judged_in: str = stages.TRAIN

    def engine(self, name: str, target: Target, export: Made) -> Step:
        """Compile a target's export."""
        backend = BACKENDS[target.backend]
        read: dict[str, Input] = {"onnx": export.output()}
        if target.precision == "int8":
            # The validation split is there to be kept out: the stage compares pictures of the two.
            read["training"] = self.dataset.output(*CALIBRATION)
            read["validation"] = self.dataset.output(*VALIDATION)
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

    def evidence(
        self, target: Target, export: Made, engine: Step, references: Sequence[Made]
    ) -> list[Step]:
        """What is measured of an engine: its detections, their agreement with PyTorch's, its times.

        ``references`` are the checkpoint's evaluation and, where there are, the documented graph
        and its evaluation.
        """
        judging = EvaluateEngineParameters(
            drawing_of(self.project), self.project.pipeline.evaluate.precision
        )
        evaluate = self._on_device(stages.EVALUATE_ENGINE, judging, engine)
        timing = self.project.pipeline.profile
        times = ProfileParameters(timing.samples, timing.warmup, target.power_mode, timing.seconds)
        profile = self._on_device(stages.PROFILE, times, engine)
        if target.graph != "fused":
            return [evaluate, profile]
        tolerances = self.project.pipeline.gates.tolerances(target.precision)
        parameters = ProveParameters(engine.subject, tolerances)
        return [evaluate, self._prove(parameters, export, engine, evaluate, references), profile]

    def report(self, shown: Sequence[Made]) -> Step:
        """Judge and show everything: one input for each, named by what it shows."""
        gates, targets = self.project.pipeline.gates, self.project.used_targets
        return Step(
            stage=stages.REPORT,
            parameters=ReportParameters(
                name=self.project.pipeline.name,
                gates=gates.limits,
                proofs={
                    name: gates.tolerances(target.precision)
                    for name, target in targets.items()
                    if target.graph == "fused"
                },
                targets=self.project.pipeline.targets,
            ),
            inputs={
                input_name(each.kind, each.subject): each.output(*SHOWN.get(each.kind, ()))
                for each in shown
            },
            environment=self.judged_in,
            image=self._image_of_judge(next(iter(targets.values())).image or ""),
        )

    def _image_of_judge(self, image: str) -> str:
        """Choose ``image``, which engines run in, unless there is one for PyTorch."""
        return stages.TRAIN if self.judged_in == stages.TRAIN else image

    def _on_device(self, stage: stages.Stage, parameters: Parameters, engine: Step) -> Step:
        """A step that runs an engine on the validation pictures."""
        return Step(
            stage=stage,
            subject=engine.subject,
            parameters=parameters,
            inputs={"engine": engine.output(), "dataset": self.dataset.output(*VALIDATION)},
            environment=engine.environment,
            image=engine.image,
            uses_gpu=engine.uses_gpu,
            judges=engine.name,
        )

    def _prove(
        self,
        parameters: ProveParameters,
        export: Made,
        engine: Step,
        evaluate: Step,
        references: Sequence[Made],
    ) -> Step:
        """Compare what was detected already with PyTorch's detections, and the two graphs."""
        pytorch, *documented = references
        read: dict[str, Input] = {
            "dataset": self.dataset.output("val.json"),
            "graph": export.output(),
            CHECKPOINT: pytorch.output(*DETECTED),
            "engine": evaluate.output(*DETECTED),
        }
        if documented:
            graph, evaluated = documented
            read |= {"documented_graph": graph.output(), DOCUMENTED: evaluated.output(*DETECTED)}
        return Step(
            stage=stages.PROVE,
            subject=parameters.target,
            parameters=parameters,
            inputs=read,
            environment=self.judged_in,
            image=self._image_of_judge(engine.image),
            judges=engine.name,
        )
