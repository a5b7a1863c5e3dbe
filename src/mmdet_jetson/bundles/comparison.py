"""What differs between two trainings or bundles, all of it, the most important first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mmdet_jetson.bundles.contents import Contents, PartName
from mmdet_jetson.bundles.datasets import are_alike, compare_datasets
from mmdet_jetson.bundles.fields import (
    ConfigChanges,
    FieldChange,
    changed_fields,
    compare_configs,
)
from mmdet_jetson.bundles.figures import (
    EngineChange,
    FigureChange,
    compare_engines,
    compare_figures,
)
from mmdet_jetson.bundles.origins import (
    CodeChange,
    EnvironmentChange,
    FactChange,
    Pair,
    compare_code,
    compare_environments,
    compare_facts,
    pairs_of,
)
from mmdet_jetson.bundles.pictures import PictureChanges
from mmdet_jetson.bundles.trainings import input_of, is_taken, run_of, verdict_of
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.store import Artifact

CONFIG = "config.py"
# Parameters that say what a run is called, and what it reads; not how anything is made.
NOT_COMPARED = frozenset({("report", "name"), ("report", "artifacts")})
FROM_OUTSIDE = {
    "source": "the dataset's source",
    "weights": "the weights that the training starts from",
    "config": "the config files",
    "plugin": "the plugin library",
}
DETECTING = ("model", "test_pipeline", "test_dataloader", "test_evaluator", "custom_imports")
"""What of a checkpoint's config says how it detects."""
STEPS = {stage.makes: stage.verb for stage in reversed(stages.STAGES)}


@dataclass(frozen=True)
class Named:
    """One side: what to call it, when it was made, and what its report says of the gates."""

    name: str
    digest: str
    kind: str
    created: str
    run: str
    verdict: str


@dataclass(frozen=True)
class ParameterChange:
    """A parameter that differs, and the steps that it is told."""

    field: FieldChange
    steps: tuple[str, ...]


@dataclass(frozen=True)
class InputChange:
    """Something from outside that differs; both are digests."""

    what: str
    was: str
    now: str


@dataclass(frozen=True)
class Comparison:
    """All that differs. ``data`` is None where the datasets cannot be, or need not be compared.

    ``data_alike`` is None where a side has neither a dataset nor a training that tells of it.
    """

    before: Named
    after: Named
    figures: tuple[FigureChange, ...]
    engines: tuple[EngineChange, ...]
    data_alike: bool | None
    data: PictureChanges | None
    parameters: tuple[ParameterChange, ...]
    config: ConfigChanges
    inputs: tuple[InputChange, ...]
    code: CodeChange
    environments: tuple[EnvironmentChange, ...]
    facts: tuple[FactChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    same_parts: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both sides hold the same files, made in the same way."""
        made = (self.parameters, self.config.fields, self.config.lines, self.inputs)
        ran = (self.environments, self.facts, self.only_before, self.only_after)
        data = self.data_alike is not False
        figures = any(each.difference(name) for each in self.figures for name in ("AP", "AP50"))
        return not (any(made) or any(ran) or figures) and data and self.code.is_empty


def compare(before: Contents, after: Contents, *, read_all: bool = False) -> Comparison:
    """Compare two sides.

    ``read_all`` reads the pictures of datasets that are large, too, to know each by its content.

    Raises:
        UserError: they have nothing in common, or a part cannot be read.
    """
    _check_comparable(before, after)
    was, now = before.dataset, after.dataset
    pairs, alike, data = pairs_of(before, after), _trained_alike(before, after), None
    if was is not None and now is not None:
        sides = (before.store, was), (after.store, now)
        alike = are_alike(*sides)
        data = None if alike else compare_datasets(*sides, read_all=read_all)
    return Comparison(
        before=_named(before),
        after=_named(after),
        figures=compare_figures(before, after),
        engines=compare_engines(before, after),
        data_alike=alike,
        data=data,
        parameters=_parameters(pairs),
        config=_config(before, after),
        inputs=tuple(_inputs(pairs)),
        code=compare_code(before, after),
        environments=compare_environments(before, after),
        facts=compare_facts(before, after),
        only_before=_only(before, after),
        only_after=_only(after, before),
        same_parts=tuple(str(part) for part, (a, b) in pairs.items() if a.digest == b.digest),
    )


def _check_comparable(before: Contents, after: Contents) -> None:
    """Refuse what would look alike because there is nothing to compare."""
    alone = [side for side in (before, after) if len(side.parts) == 1 and not side.checkpoint]
    if pairs_of(before, after) and not (alone and before.parts.keys() != after.parts.keys()):
        return
    one, other = (
        f"{each.name} ({next(iter(each.parts)) if len(each.parts) == 1 else 'more than one part'})"
        for each in (before, after)
    )
    raise UserError(
        f"{one} and {other} cannot be compared",
        "name two trainings, runs or bundles, or two artifacts of a kind and a target",
    )


def _trained_alike(before: Contents, after: Contents) -> bool | None:
    """Whether both were trained with the same data, as far as trainings alone can tell."""
    was, now = (input_of(side.checkpoint, "dataset") for side in (before, after))
    return was == now if was and now else None


def _named(side: Contents) -> Named:
    """Say what a side is: a bundle, else its training, else its newest part."""
    newest = max(side.parts.values(), key=lambda each: each.provenance.created, default=None)
    main = side.checkpoint or newest
    digest = side.bundle.digest if side.bundle else main.digest if main else ""
    made = "model" if side.checkpoint and is_taken(side.checkpoint) else "training"
    kind = "bundle" if side.bundle else made if side.checkpoint else "run"
    created = main.provenance.created if main else ""
    return Named(side.name, digest, kind, created, run_of(side), verdict_of(side))


def _parameters(pairs: Mapping[PartName, tuple[Artifact, Artifact]]) -> tuple[ParameterChange, ...]:
    """Compare the parameters of all steps; a field that several are told is one."""
    found: dict[tuple[str, str, str], tuple[FieldChange, list[str]]] = {}
    for was, now in _made_alike(pairs):
        stage, step = now.provenance.stage, now.provenance.step
        before, after = (
            {k: v for k, v in each.provenance.parameters.items() if (stage, k) not in NOT_COMPARED}
            for each in (was, now)
        )
        for change in changed_fields(before, after):
            key = (change.name, repr(change.was), repr(change.now))
            found.setdefault(key, (change, []))[1].append(step)
    return tuple(ParameterChange(field, tuple(steps)) for field, steps in found.values())


def _config(before: Contents, after: Contents) -> ConfigChanges:
    """Compare the training's whole config, as the checkpoints have it."""
    texts = []
    for side in (before, after):
        checkpoint = side.checkpoint
        if checkpoint is None or CONFIG not in checkpoint.titles:
            return ConfigChanges()
        texts.append(side.store.read(checkpoint, CONFIG).decode(errors="replace"))
    found = compare_configs(*texts)
    if not any(side.checkpoint and is_taken(side.checkpoint) for side in (before, after)):
        return found
    # A model that was taken has nothing of how it was trained.
    fields = (each for each in found.fields if each.name.split(".")[0] in DETECTING)
    return replace(found, fields=tuple(fields))


def _made_alike(pairs: Mapping[PartName, tuple[Artifact, Artifact]]) -> Iterator[Pair]:
    """Pairs that one stage has made: a training and the taking of a model are told other things."""
    return (each for each in pairs.values() if each[0].provenance.stage == each[1].provenance.stage)


def _inputs(pairs: Mapping[PartName, tuple[Artifact, Artifact]]) -> Iterator[InputChange]:
    seen: set[tuple[str, str, str]] = set()
    for was, now in _made_alike(pairs):
        before, after = was.provenance.inputs, now.provenance.inputs
        taken = is_taken(was) or is_taken(now)
        for name in sorted((before.keys() | after.keys()) & FROM_OUTSIDE.keys()):
            one, other = before.get(name, "none"), after.get(name, "none")
            what = (
                "the checkpoint as it came" if taken and name == "weights" else FROM_OUTSIDE[name]
            )
            if name == "config":
                what = f"{what} of step {STEPS.get(now.kind, now.kind)}"
            if one != other and (what, one, other) not in seen:
                seen.add((what, one, other))
                yield InputChange(what, one, other)


def _only(one: Contents, other: Contents) -> tuple[str, ...]:
    """The parts of one side alone."""
    return tuple(str(part) for part in one.parts if part not in other.parts)
