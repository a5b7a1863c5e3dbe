"""The configuration of one run: what may stand in its files, and what they must agree on.

Paths inside the files are relative to the project's root.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.builder_settings import check_builder
from mmdet_jetson.config.dataset import Dataset, Pixels, check_dataset
from mmdet_jetson.config.device_facts import check_device_facts
from mmdet_jetson.config.hosts import Host, check_hosts
from mmdet_jetson.config.model import Model, NonEmpty, check_calibration, check_origin
from mmdet_jetson.config.shared import Shared
from mmdet_jetson.config.sources import Sources
from mmdet_jetson.config.targets import PRECISIONS, Target, check_target, inherited
from mmdet_jetson.config.toml import (
    Name,
    Positive,
    Section,
    check_can_travel,
    check_choice,
    convert,
    flatten,
    nearest,
    overridden,
    read_toml,
)
from mmdet_jetson.contract.formats import DRAWN
from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES, GATES, PROOF, Tolerances
from mmdet_jetson.contract.parameters.export import MOST_CANDIDATES
from mmdet_jetson.contract.parameters.profile import (
    LEAST_SAMPLES,
    MOST_SAMPLES,
    MOST_SECONDS,
)
from mmdet_jetson.contract.report import BASE, CHECKPOINT, DOCUMENTED
from mmdet_jetson.errors import ConfigError

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
RESERVED = (BASE, CHECKPOINT, DOCUMENTED)  # as in evaluate-base and export-documented


class Train(Section, frozen=True):
    """How to train: an MMDetection config, and what to change in it."""

    config: NonEmpty
    weights: str | None = None
    epochs: Positive | None = None
    batch_size: Positive | None = None
    nodes: Positive = 1
    processes: Positive = 1
    """On each of the ``nodes``; together they share out ``batch_size``."""
    scale_lr: bool = False
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    workers: Annotated[int, msgspec.Meta(ge=0)] = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    overrides: dict[str, object] = msgspec.field(default_factory=dict)


class Export(Section, frozen=True):
    """The MMDeploy config for each backend, and the NMS of fused graphs.

    ``thresholds`` says whose: those of the model's own test, or of the deploy config. Unless
    ``compare_documented`` is false, fused graphs are compared with MMDeploy's documented one.
    """

    onnxruntime: NonEmpty = "configs/deploy/detection_onnxruntime_static.py"
    tensorrt: NonEmpty = "configs/deploy/detection_tensorrt_static.py"
    thresholds: Literal["model", "deploy"] = "model"
    candidates: Annotated[int, msgspec.Meta(ge=1, le=MOST_CANDIDATES)] = 1000
    rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    compare_documented: bool = True


class Evaluate(Section, frozen=True):
    """How many validation pictures to draw, and from which score on.

    The threshold to deploy has ``precision`` at least, or else the best F1.
    """

    pictures: Annotated[int, msgspec.Meta(ge=1, le=50)] = 4
    draw_threshold: Fraction = 0.3
    precision: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


class Profile(Section, frozen=True):
    """How often and how long to time the engine: until both are reached.

    The percentiles that are claimed follow from how many samples there are: a p99 asks for 459
    (`contract.samples`). MLPerf times for 600 s at least.
    """

    samples: Annotated[int, msgspec.Meta(ge=LEAST_SAMPLES, le=MOST_SAMPLES)] = 200
    seconds: Annotated[float, msgspec.Meta(ge=0, le=MOST_SECONDS)] = 0
    warmup: Annotated[int, msgspec.Meta(ge=1)] = 20


class Proof(Section, frozen=True):
    """What to change in the tolerances for one precision: see `contract.gates.Tolerances`."""

    from_score: Fraction | None = None
    box: Fraction | None = None
    score: Fraction | None = None
    alone: Fraction | None = None


class Gates(Section, frozen=True, rename={module: name for name, module in GATES.items()}):
    """Limits, each called like its gate's module; the proof alone is judged without one, too."""

    min_ap50: Fraction | None = None
    max_ap_difference: Fraction | None = None
    proof: dict[str, Proof] = msgspec.field(default_factory=dict)
    """By precision."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are one number, by the name of their gate."""
        stated = {name: getattr(self, GATES[name]) for name in GATES if name != PROOF}
        return {name: limit for name, limit in stated.items() if limit is not None}

    def tolerances(self, precision: str) -> Tolerances:
        """Give those of the proof for engines of a precision."""
        stated = msgspec.structs.asdict(self.proof.get(precision, Proof()))
        changes = {name: value for name, value in stated.items() if value is not None}
        return replace(DEFAULT_TOLERANCES[precision], **changes)


class Pipeline(Section, frozen=True):
    """``pipeline.toml``: the one file a user edits."""

    name: Name
    input_size: tuple[Pixels, Pixels]
    targets: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    dataset: Dataset
    train: Train | None = None
    """Unused where there is a ``model``; one of the two there is."""
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    profile: Profile = Profile()
    gates: Gates = Gates()
    store: Shared = Shared()
    model: Model | None = None
    hosts: dict[str, Host] = msgspec.field(default_factory=dict)

    @property
    def training(self) -> Train:
        """What a training is told, of a pipeline that trains.

        Raises:
            TypeError: it takes a model instead; that is a bug in a plan.
        """
        if self.train is None or self.model is not None:
            raise TypeError(f"pipeline {self.name} does not train")
        return self.train

    @property
    def device(self) -> str:
        """What PyTorch computes on: "auto", "cpu" or "cuda"."""
        return self.model.device if self.model else self.training.device


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """All configuration of one run, checked as a whole."""

    pipeline: Pipeline
    targets: dict[str, Target]
    sources: Sources
    path: Path
    """The pipeline's file; the others lie beside it."""
    typed: str = ""
    """The options that it was chosen and changed by, but for ``--target``, as they are typed."""

    def command(self, words: str, *targets: str) -> str:
        """Spell a command for targets of this project, for hints of what to type."""
        chosen = " ".join(f"--target {target}" for target in targets)
        return " ".join(filter(None, (f"invoke {words}", self.typed, chosen)))

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.path.parent

    @property
    def used_targets(self) -> dict[str, Target]:
        """The targets that this pipeline builds for, in its order."""
        return {name: self.targets[name] for name in self.pipeline.targets}


def load_project(path: Path, overrides: Sequence[str] = ()) -> Project:
    """Read ``path`` and the ``targets.toml`` and ``sources.toml`` beside it.

    ``overrides`` are ``dotted.key=value`` assignments in TOML; strings need no quotes.

    Raises:
        ConfigError: something in the files or the overrides is wrong; names file and field.
    """
    raw = overridden(read_toml(path, "name another with --config"), overrides)
    targets, sources = path.parent / "targets.toml", path.parent / "sources.toml"
    beside = f"{path} needs it beside it: keep your configs in configs/, or copy it from there"
    project = Project(
        pipeline=convert(raw, Pipeline, path, assigned=overrides),
        targets={
            name: convert(table, Target, targets, name)
            for name, table in inherited(read_toml(targets, beside), targets).items()
        },
        sources=convert(read_toml(sources, beside), Sources, sources),
        path=path,
    )
    _check(project, path)
    return project


def with_precision(project: Project, precision: str) -> Project:
    """Return the project with another precision for all its targets.

    Raises:
        ConfigError: there is no such precision, or a target cannot have it.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: unknown", nearest(precision, PRECISIONS))
    targets = {
        name: msgspec.structs.replace(target, precision=precision)
        for name, target in project.targets.items()
    }
    changed = msgspec.structs.replace(project, targets=targets)
    _check_used(changed)
    return changed


def _check(project: Project, path: Path) -> None:
    """Check what no single field can tell."""
    pipeline, dataset = project.pipeline, project.pipeline.dataset
    if pipeline.name == "cache":
        raise ConfigError(
            f"{path}: name: 'cache' is reserved: it is what cached results are tagged with"
        )
    _check_targets(project, path)
    check_origin(path, pipeline.model, pipeline.train, dataset.classes)
    if pipeline.train:
        check_can_travel(f"{path}: train.overrides", pipeline.train.overrides)
        _check_processes(path, pipeline.train)
    for precision in pipeline.gates.proof:
        check_choice(f"{path}: gates.proof", precision, PRECISIONS)
    for field, values in (("targets", pipeline.targets), ("dataset.classes", dataset.classes)):
        if len(set(values)) != len(values):
            raise ConfigError(f"{path}: {field}: a name is listed twice", "remove one of them")
    check_dataset(dataset, path, trains=pipeline.model is None)


def _check_processes(path: Path, train: Train) -> None:
    """Refuse what processes cannot share out evenly."""
    world = train.nodes * train.processes
    if world == 1:
        return
    batch = flatten(train.overrides).get("train_dataloader.batch_size", train.batch_size)
    if batch is None:
        raise ConfigError(
            f"{path}: train.batch_size is not set, but {world} processes are to share it out",
            "set train.batch_size to the pictures of a step, of all processes together",
        )
    if type(batch) is int and batch % world:
        raise ConfigError(
            f"{path}: train.batch_size is {batch}, which {world} processes cannot share out evenly",
            f"set train.batch_size to {batch - batch % world or world}, or to another multiple of "
            f"{world}",
        )


def _check_targets(project: Project, path: Path) -> None:
    for name in project.pipeline.targets:
        if name in RESERVED:
            raise ConfigError(
                f"{path}: targets: {name!r} is reserved for steps", "rename the target"
            )
        if name not in project.targets:
            raise ConfigError(
                f"{path}: targets: {name!r} is not in targets.toml", nearest(name, project.targets)
            )
    check_hosts(project.pipeline.hosts, project.targets, path)
    _check_used(project)


def _check_used(project: Project) -> None:
    dataset = project.pipeline.dataset
    if project.pipeline.model and not dataset.train and dataset.format != DRAWN:
        check_calibration(project.path, project.used_targets)
    for name, target in project.used_targets.items():
        place = f"{project.folder / 'targets.toml'}: {name}"
        try:
            check_target(place, target)
            check_device_facts(place, target)
            check_builder(place, target, project.pipeline.input_size)
        except ConfigError as error:
            if not target.like:
                raise
            origin = (
                f"where {name} has it from {target.like!r}, let it be like a target without that"
            )
            hint = "; ".join(filter(None, (error.hint, origin)))
            raise ConfigError(error.message, hint) from error
