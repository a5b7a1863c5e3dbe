"""One training and all that was made of it: found in a store by what was made from what.

Names of a run move on to its next training; a checkpoint's digest does not. So what belongs to a
training is looked for by the digests that each artifact keeps of its inputs, and names decide only
where several would do.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mmdet_jetson.contract import custom_imports
from mmdet_jetson.contract.report import BASE, CHECKPOINT, DOCUMENTED
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.stages import Stage
from mmdet_jetson.store import Artifact, Store, is_cache_tag

Part = tuple[str, str]
"""A stage's module, and what it is about: a target, or a name of `contract.report`."""
NAMED = f".{stages.TRAINING.verb}"
WEIGHTS = ("best.pth", "config.py")
DATASET, TRAIN, REPORT = ((s.module, "") for s in (stages.DATASET, stages.TRAINING, stages.REPORT))
OF_CHECKPOINT = (stages.EVALUATE_CHECKPOINT.module, CHECKPOINT)


@dataclass(frozen=True)
class Experiment:
    """What was made of one training, or of one run without any. ``name`` is what to type for it.

    ``run`` is the run that made it, where that is known.
    """

    name: str
    run: str
    store: Store
    parts: Mapping[Part, Artifact] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Artifact | None:
        """The training itself."""
        return self.parts.get(TRAIN)

    @property
    def dataset(self) -> Artifact | None:
        """What it was trained with."""
        return self.parts.get(DATASET)

    def of(self, stage: Stage) -> dict[str, Artifact]:
        """What a stage made, by what it is about."""
        return {about: each for (made, about), each in self.parts.items() if made == stage.module}


class Shelf:
    """The artifacts of a store, looked through once, and the names that they have."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.artifacts = sorted(store.artifacts(), key=lambda each: each.provenance.created)
        self.tags: dict[str, list[str]] = {}
        for tag, named in store.tags().items():
            if not is_cache_tag(tag):
                self.tags.setdefault(named.digest, []).append(tag)

    @cached_property
    def trainings(self) -> list[Artifact]:
        """Every checkpoint, the newest first."""
        return [each for each in reversed(self.artifacts) if _is(each, stages.TRAINING)]

    @cached_property
    def runs(self) -> dict[str, list[str]]:
        """The runs that a training is the newest of, by its digest."""
        return {
            digest: sorted(tag.removesuffix(NAMED) for tag in tags if tag.endswith(NAMED))
            for digest, tags in self.tags.items()
        }

    def experiment(self, checkpoint: Artifact, run: str = "") -> Experiment:
        """All that was made of a training; of several alike the run's own, else the newest."""
        runs = self.runs.get(checkpoint.digest, [])
        search = _Search(self, checkpoint, run or next(iter(runs), ""))
        parts = search.parts()
        report = parts.get(REPORT)
        told = str(report.provenance.parameters.get("name", "")) if report else ""
        name = next(iter([run] * (run in runs) or runs), checkpoint.digest[7:19])
        return Experiment(name, run or name if runs else told, self.store, parts)


@dataclass(frozen=True)
class _Search:
    """Looks for what belongs to a training."""

    shelf: Shelf
    checkpoint: Artifact
    run: str

    def parts(self) -> dict[Part, Artifact]:
        read, made = self.checkpoint.provenance.inputs, {TRAIN: self.checkpoint}
        dataset = self._best(
            stages.DATASET, lambda each: each.content == read.get("dataset")
        ).get("")
        weights = _weights(self.checkpoint)
        made |= {DATASET: dataset} if dataset else {}
        made |= self._part(stages.EVALUATE_CHECKPOINT, lambda a: a.get("checkpoint") == weights)
        made |= self._base(dataset)
        made |= self._part(stages.EXPORT, lambda a: a.get("checkpoint") == weights)
        exports = {each.content for (stage, _), each in made.items() if stage == "export"}
        made |= self._part(stages.ENGINE, lambda a: a.get("onnx") in exports)
        made |= self._part(stages.EVALUATE_ENGINE, lambda a: a.get("onnx") in exports)
        for (stage, _), engine in list(made.items()):
            if stage == stages.ENGINE.module:
                made |= self._evidence(engine)
        metrics = _content(self.checkpoint, ("metrics.json",))
        return made | self._part(stages.REPORT, lambda a: a.get(CHECKPOINT) == metrics)

    def _evidence(self, engine: Artifact) -> dict[Part, Artifact]:
        """What was measured of an engine, under the name of its target."""

        def judges(each: Artifact) -> bool:
            read = each.provenance.inputs
            engines = (read.get("engine"), read.get("judged"))
            subject = each.subject.digest if each.subject else ""
            return engine.content in engines or subject == engine.digest

        about = subject_of(engine, stages.ENGINE)
        kinds = (stages.EVALUATE_ENGINE, stages.PROFILE, stages.PROVE)
        found = {stage: self._best(stage, judges) for stage in kinds}
        return {(s.module, about): last for s, each in found.items() for last in each.values()}

    def _base(self, dataset: Artifact | None) -> dict[Part, Artifact]:
        """The evaluation of the weights before the training."""
        read = self.checkpoint.provenance.inputs
        pictures = _content(dataset, ("val", "val.json")) if dataset else None

        def of_base(inputs: Mapping[str, str]) -> bool:
            same = all(inputs.get(name) == read.get(name) for name in ("config", "weights"))
            return "weights" in inputs and same and inputs.get("dataset") == pictures

        found = self._part(stages.EVALUATE_CHECKPOINT, of_base)
        return {part: each for part, each in found.items() if part[1] == BASE}

    def _part(
        self, stage: Stage, made_from: Callable[[Mapping[str, str]], bool]
    ) -> dict[Part, Artifact]:
        best = self._best(stage, lambda each: made_from(each.provenance.inputs))
        return {(stage.module, about): each for about, each in best.items()}

    def _best(self, stage: Stage, fits: Callable[[Artifact], bool]) -> dict[str, Artifact]:
        """By what it is about: what has a name of the run, else the newest."""
        found: dict[str, Artifact] = {}
        named: dict[str, Artifact] = {}
        for each in self.shelf.artifacts:
            if _is(each, stage) and fits(each):
                about = subject_of(each, stage)
                found[about] = each
                if self.run and any(
                    tag.startswith(f"{self.run}.") for tag in self.shelf.tags.get(each.digest, ())
                ):
                    named[about] = each
        return found | named


def tagged(store: Store, run: str) -> Experiment:
    """What a run's names lead to, where it has no training, as on a device that was handed one."""
    parts = {}
    for tag in store.tags():
        if tag.startswith(f"{run}.") and (found := store.find(tag)):
            for stage in stages.STAGES:
                if _is(found, stage):
                    parts[stage.module, subject_of(found, stage)] = found
    return Experiment(run, run, store, parts)


def gathered(name: str, store: Store, artifacts: Iterable[Artifact]) -> Experiment:
    """The artifacts of a bundle, each under what it is about."""
    everything = list(artifacts)
    engines = {each.digest: each for each in everything if _is(each, stages.ENGINE)}
    parts: dict[Part, Artifact] = {}
    for each in everything:
        for stage in stages.STAGES:
            if _is(each, stage):
                judged = engines.get(each.subject.digest) if each.subject else None
                about = subject_of(judged, stages.ENGINE) if judged else subject_of(each, stage)
                parts[stage.module, about] = each
    return Experiment(name, "", store, parts)


def subject_of(artifact: Artifact, stage: Stage) -> str:
    """What an artifact is about: its step is the stage's name and that."""
    return artifact.provenance.step.removeprefix(stage.verb).removeprefix("-")


def is_documented(part: Part) -> bool:
    """Whether a part is of MMDeploy's own graph."""
    return part[1] == DOCUMENTED


def _is(artifact: Artifact, stage: Stage) -> bool:
    return artifact.kind == stage.makes and artifact.provenance.stage == stage.module


def _weights(checkpoint: Artifact) -> str | None:
    """The digest that what reads a checkpoint has of it."""
    carried = [each.title for each in checkpoint.layers if each.title == custom_imports.FOLDER]
    return _content(checkpoint, (*WEIGHTS, *carried))


def _content(artifact: Artifact, parts: tuple[str, ...]) -> str | None:
    try:
        return artifact.content_of(parts)
    except KeyError:
        return None
