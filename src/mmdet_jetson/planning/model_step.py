"""The step that takes in a model which is trained already: where its weights and its config are."""

from dataclasses import dataclass
from pathlib import Path

from mmdet_jetson.config.model import Model
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.contract.parameters.model import PACKAGE, TakenModelParameters
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.config_files import (
    carried_by,
    carried_folders,
    config_input,
    config_name,
)
from mmdet_jetson.planning.given_artifacts import GivenArtifact
from mmdet_jetson.planning.inputs import Inputs, meant_by, sources_of
from mmdet_jetson.planning.steps import Input, Step
from mmdet_jetson.planning.target_steps import WEIGHTS
from mmdet_jetson.store import Store, is_cache_tag

BESIDE = "config.py"
"""What a checkpoint's config is called beside it, where nothing names it."""
PACKAGES = ("mmdet",)
"""Packages of environment `train` that bring configs."""


@dataclass(frozen=True)
class TakenStep:
    """The step, and what its checkpoint has besides weights and config."""

    step: Step
    carried: tuple[str, ...]


@dataclass(frozen=True)
class _Config:
    """A config: what the stage calls it, and its files where it is no package's."""

    name: str | None
    files: Input | None = None
    carried: tuple[str, ...] = ()


def model_step(project: Project, inputs: Inputs, model: Model) -> TakenStep:
    """Plan to take a model in.

    Raises:
        ConfigError: there is no such checkpoint, or no such config.
    """
    artifact = _artifact(project, inputs, model)
    read: dict[str, Input]
    if artifact:
        carried = carried_by(artifact.artifact)
        read = {"checkpoint": artifact.output(*WEIGHTS, *carried)}
        config = _named(project, inputs, model) or _Config(None, None, carried)
    else:
        read = {"weights": inputs.weights(model.checkpoint, "model.checkpoint")}
        config = _named(project, inputs, model) or _beside(inputs, model) or _Config(None)
    if config.files:
        read["config"] = config.files
    told = TakenModelParameters(
        config=config.name,
        classes=project.pipeline.dataset.classes,
        input_size=project.pipeline.input_size,
    )
    return TakenStep(Step(stage=stages.MODEL, parameters=told, inputs=read), config.carried)


def _named(project: Project, inputs: Inputs, model: Model) -> _Config | None:
    """The config that the pipeline's file names."""
    if model.config is None:
        return None
    package, separator, _ = model.config.partition(PACKAGE)
    if separator:
        if package not in PACKAGES:
            raise ConfigError(
                f"{project.path}: model.config: {package!r} is no package that brings configs here",
                f"one of: {', '.join(PACKAGES)}; or name a file",
            )
        return _Config(model.config)
    return _in_files(inputs, inputs.settings.root / Path(model.config).expanduser())


def _beside(inputs: Inputs, model: Model) -> _Config | None:
    """A config beside a checkpoint that is a file of the user's own."""
    if model.checkpoint in inputs.project.sources.sources:
        return None
    path = (inputs.settings.root / Path(model.checkpoint).expanduser()).parent / BESIDE
    return _in_files(inputs, path) if path.is_file() else None


def _in_files(inputs: Inputs, path: Path) -> _Config:
    """A config with its bases: of the project, or of a folder of its own elsewhere."""
    root = inputs.settings.root.resolve()
    home = root if path.resolve().is_relative_to(root) else path.parent
    name = config_name(home, str(path))
    return _Config(name, config_input(home, name), carried_folders(home, name))


def _artifact(project: Project, inputs: Inputs, model: Model) -> GivenArtifact | None:
    """The checkpoint as an artifact of the store; None where it is something else."""
    named, settings = model.checkpoint, inputs.settings
    is_path = (settings.root / Path(named).expanduser()).exists()
    if named in project.sources.sources or is_path:
        return None
    store = Store(settings.artifacts)
    found = store.find(named)
    place = f"{project.path}: model.checkpoint"
    if found is None:
        if flaw := store.damage(named):
            raise ConfigError(f"{place}: {named!r} is damaged: {flaw}", "`invoke verify --mend`")
        known = [*sources_of(project.sources, archives=False), *_checkpoints(store)]
        raise ConfigError(
            f"{place}: {named!r} is neither a name in sources.toml, nor a path that exists, nor a "
            f"checkpoint in {store.root}",
            meant_by(named, settings.root / Path(named).expanduser(), known),
        )
    if found.kind != stages.MODEL.makes:
        raise ConfigError(f"{place}: {named!r} is {found.kind}, not a checkpoint", _hint(store))
    return GivenArtifact(found.kind, "", named, found, store, settings.cache / "digests.sqlite")


def _checkpoints(store: Store) -> list[str]:
    """What checkpoints of the store are called."""
    tags = (tag for tag in store.tags() if not is_cache_tag(tag))
    ends = tuple(f".{stage.verb}" for stage in stages.CHECKPOINTS)
    return [tag for tag in tags if tag.endswith(ends)]


def _hint(store: Store) -> str:
    known = _checkpoints(store)
    return f"one of: {', '.join(known)}" if known else "name a checkpoint"
