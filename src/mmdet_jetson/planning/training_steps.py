"""The steps up to a checkpoint: the dataset, the check of what will come, and the training."""

from collections.abc import Iterable
from dataclasses import dataclass

from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.config.toml import flatten
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.grouping import BY_NAMES
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.dataset import (
    KNOWN,
    DatasetParameters,
    DrawnPictures,
    SplitLocation,
)
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.contract.parameters.model import CLASSES
from mmdet_jetson.contract.parameters.train import (
    OF_TRAINING_ALONE,
    ModelParameters,
    TrainingParts,
    TrainParameters,
)
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.config_files import config_input
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.rehearsals import exported_as
from mmdet_jetson.planning.steps import Input, Spread, Step, StepOutput

NUMBERS = (int, float)
TRAINED_ON = ("train", "train.json", "val", "val.json")
"""What a training reads of a dataset: what else is there to be looked at never starts one again."""


def dataset_step(project: Project, inputs: Inputs, taken: Step | None = None) -> Step:
    """Plan the conversion of the pictures' annotations.

    Without classes of its own it asks the model that is ``taken``.
    """
    dataset = project.pipeline.dataset
    read: dict[str, Input] = {}
    if dataset.source is not None:
        read["source"] = inputs.dataset(dataset.source)
    if taken and not dataset.classes:
        read["model"] = taken.output(CLASSES)
    return Step(
        stage=stages.DATASET,
        parameters=_dataset_parameters(project),
        inputs=read,
        remembers=KNOWN,
    )


def _dataset_parameters(project: Project) -> DatasetParameters:
    dataset = project.pipeline.dataset
    train, val, drawn = dataset.train, dataset.val, dataset.drawn
    return DatasetParameters(
        classes=dataset.classes,
        format=dataset.format,
        label_attribute=dataset.label_attribute,
        default_class=dataset.default_class,
        train=SplitLocation(train.pictures, train.annotations) if train else None,
        val=SplitLocation(val.pictures, val.annotations) if val else None,
        drawn=(DrawnPictures(drawn.train, drawn.val, drawn.size, drawn.seed) if drawn else None),
        others=dataset.others,
        rename=dataset.rename,
        input_size=project.pipeline.input_size,
        split=dataset.split,
        split_seed=dataset.split_seed or 0,
        group=dataset.group or BY_NAMES,
    )


def train_step(project: Project, inputs: Inputs, dataset: Step) -> Step:
    """Plan the training, which has to wait for its check."""
    train = project.pipeline.training
    read: dict[str, Input] = {
        "dataset": dataset.output(*TRAINED_ON),
        "config": config_input(inputs.settings.root, train.config),
    }
    if train.weights:
        read["weights"] = inputs.weights(train.weights)
    return Step(
        stage=stages.TRAINING,
        parameters=TrainParameters(
            config=train.config,
            epochs=train.epochs,
            batch_size=train.batch_size,
            seed=train.seed,
            workers=train.workers,
            device=train.device,
            overrides=flatten(train.overrides),
            classes=project.pipeline.dataset.classes,
            input_size=project.pipeline.input_size,
            scale_lr=train.scale_lr,
        ),
        inputs=read,
        spread=Spread(train.nodes, train.processes),
        uses_gpu=train.device != "cpu",
        after=(stages.CHECK.verb,),
    )


@dataclass(frozen=True)
class Origin:
    """What makes a run's checkpoint, and what of that is read."""

    step: Step
    checkpoint: StepOutput


def model_of(project: Project) -> ModelParameters:
    """Say what decides the model and its test pipeline; how it is trained decides neither."""
    train = project.pipeline.training
    overrides = flatten(train.overrides)
    return ModelParameters(
        config=train.config,
        overrides={key: overrides[key] for key in overrides if not _of_training_alone(key)},
        classes=project.pipeline.dataset.classes,
        input_size=project.pipeline.input_size,
    )


def _parts_of(project: Project) -> TrainingParts:
    """Say what a training builds besides its model; another learning rate is no other part."""
    train = project.pipeline.training
    overrides = {
        key: value if isinstance(value, bool) or not isinstance(value, NUMBERS) else None
        for key, value in flatten(train.overrides).items()
        if _of_training_alone(key)
    }
    return TrainingParts(overrides, bool(train.weights), train.scale_lr)


def _of_training_alone(override: str) -> bool:
    return override.lstrip("+").split(".")[0] in OF_TRAINING_ALONE


def largest_pictures(project: Project) -> dict[str, int]:
    """How long a side of a picture may be, by the target whose engine takes any up to there."""
    return {
        name: target.builder.largest_picture
        for name, target in project.used_targets.items()
        if target.takes_any_size and "largest_picture" in BACKENDS[target.backend].settings
    }


def check_step(project: Project, dataset: Step, origin: Origin, later: Iterable[Step]) -> Step:
    """Plan the check whether the steps behind a checkpoint can do their work on it.

    Before a training that is its model with random weights. Targets that share an export are
    checked once.
    """
    later = list(later)
    exports: dict[str, ExportParameters] = {}
    trains = origin.step.stage is stages.TRAINING
    read: dict[str, Input] = {"checkpoint": origin.checkpoint}
    if trains:
        read = {"config": origin.step.inputs["config"]}
    splits = ["val.json"]
    for step in later:
        wanted = step.parameters
        if isinstance(wanted, ExportParameters) and wanted not in exports.values():
            exports[step.subject] = wanted
            read[BACKENDS[wanted.backend].deploy_config] = step.inputs["config"]
        if step.stage is stages.ENGINE and "training" in step.inputs:
            splits = ["train.json", "val.json"]
    return Step(
        stage=stages.CHECK,
        parameters=CheckParameters(
            device=project.pipeline.device,
            model=model_of(project) if trains else None,
            training=_parts_of(project) if trains else None,
            exports=exports,
            largest=largest_pictures(project),
            kept=tuple(dict.fromkeys(exported_as(later).values())),
        ),
        inputs={"dataset": dataset.output(*splits), **read},
        # It computes nothing there: it looks whether there is one.
        uses_gpu=project.pipeline.device == "cuda",
    )
