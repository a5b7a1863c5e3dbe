"""One training and all that was made of it: found in a store by what was made from what.

Names of a run move on to its next training; a checkpoint's digest does not. So what belongs to a
training is looked for by the digests that each artifact keeps of its inputs, and names decide only
where several would do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mmdet_jetson.bundles import contents
from mmdet_jetson.bundles.belonging import WEIGHTS
from mmdet_jetson.bundles.contents import Contents, PartName
from mmdet_jetson.bundles.dataset_summary import content_of, is_summary
from mmdet_jetson.contract import custom_imports
from mmdet_jetson.contract.report import BASE, CHECKPOINT
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.stages import Stage
from mmdet_jetson.planning.target_steps import VALIDATION
from mmdet_jetson.store import Artifact, Store, is_cache_tag

NAMED = f".{stages.TRAINING.verb}"
Parts = dict[PartName, Artifact]


class Shelf:
    """The artifacts of a store, looked through once, and the names that they have."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.artifacts = sorted(store.artifacts(), key=lambda each: each.provenance.created)
        self.tags: dict[str, list[str]] = {}
        for tag, named in store.tags().items():
            if not is_cache_tag(tag):
                self.tags.setdefault(named.digest, []).append(tag)

    @property
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

    def of_training(self, checkpoint: Artifact, run: str = "") -> Contents:
        """All that was made of a training; of several alike the run's own, else the newest."""
        runs = self.runs.get(checkpoint.digest, [])
        name = run if run in runs else next(iter(runs), checkpoint.digest[7:19])
        parts = _Search(self, checkpoint, name).parts()
        return Contents(name, self.store, parts)


def side(store: Store, name: str) -> Contents:
    """What can be compared under a name: a training, a bundle, or what else `contents_of` knows.

    A run is its newest training and what belongs to that; what else has its names is left out.

    Raises:
        UserError: there is no such thing, or a part of the bundle is missing or damaged.
    """
    if store.bundle(name):
        return contents.contents_of(store, name)
    for run, found in ((name, store.find(f"{name}{NAMED}")), ("", store.find(name))):
        if found and _is(found, stages.TRAINING):
            return Shelf(store).of_training(found, run or name.removesuffix(NAMED))
    return contents.contents_of(store, name)


def run_of(sides: Contents) -> str:
    """The run that a report calls its own; "" where there is no report."""
    report = sides.get(contents.REPORT)
    return str(report.provenance.parameters.get("name", "")) if report else ""


@dataclass(frozen=True)
class _Search:
    """Looks for what belongs to a training."""

    shelf: Shelf
    checkpoint: Artifact
    run: str

    def parts(self) -> Parts:
        read = self.checkpoint.provenance.inputs
        found: Parts = {PartName(contents.CHECKPOINT): self.checkpoint}
        found |= self._dataset(read.get("dataset"))
        weights = _weights(self.checkpoint)
        found |= self._made_from("checkpoint", {weights}, stages.EVALUATE_CHECKPOINT)
        found |= self._base(found.get(PartName(contents.DATASET)))
        found |= self._made_from("checkpoint", {weights}, stages.EXPORT)
        exports = {each.content for part, each in found.items() if part.kind == contents.ONNX}
        found |= self._made_from("onnx", exports, stages.EVALUATE_ENGINE)
        engines = self._made_from("onnx", exports, stages.ENGINE)
        for part, engine in engines.items():
            found |= self._evidence(part.subject, engine)
        metrics = _content(self.checkpoint, ("metrics.json",))
        return found | engines | self._made_from(CHECKPOINT, {metrics}, stages.REPORT)

    def _dataset(self, content: str | None) -> Parts:
        """The newest dataset that was there to train with; a summary, where there is no more."""
        store, when = self.shelf.store, self.checkpoint.provenance.created

        def fits(each: Artifact) -> bool:
            return content is not None and content_of(store, each, None) == content

        made = [each for each in self.shelf.artifacts if _is(each, stages.DATASET) and fits(each)]
        order = sorted(made, key=lambda a: (not is_summary(a), a.provenance.created <= when))
        return {PartName(contents.DATASET): each for each in order[-1:]}

    def _evidence(self, target: str, engine: Artifact) -> Parts:
        """What was measured of an engine."""

        def judges(each: Artifact) -> bool:
            read, subject = each.provenance.inputs, each.subject
            alike = engine.content in (read.get("engine"), read.get("judged"))
            return alike or (subject is not None and subject.digest == engine.digest)

        found: Parts = {}
        for stage in (stages.EVALUATE_ENGINE, stages.PROFILE, stages.PROVE):
            for each in self._best(stage, judges).values():
                found[PartName(each.kind, target)] = each
        return found

    def _base(self, dataset: Artifact | None) -> Parts:
        """The evaluation of the weights before the training."""
        read = self.checkpoint.provenance.inputs
        pictures = content_of(self.shelf.store, dataset, VALIDATION) if dataset else None

        def of_base(each: Artifact) -> bool:
            inputs = each.provenance.inputs
            same = all(inputs.get(name) == read.get(name) for name in ("config", "weights"))
            return "weights" in inputs and same and inputs.get("dataset") == pictures

        found = self._best(stages.EVALUATE_CHECKPOINT, of_base)
        return {part: each for part, each in found.items() if part.subject == BASE}

    def _made_from(self, name: str, digests: set[str] | set[str | None], stage: Stage) -> Parts:
        known = {digest for digest in digests if digest}
        return self._best(stage, lambda each: each.provenance.inputs.get(name) in known)

    def _best(self, stage: Stage, fits: Callable[[Artifact], bool]) -> Parts:
        """By what it is about: what has a name of the run, else the newest."""
        newest: Parts = {}
        named: Parts = {}
        for each in self.shelf.artifacts:
            if _is(each, stage) and fits(each):
                part = PartName(each.kind, subject_of(each, stage))
                newest[part] = each
                tags = self.shelf.tags.get(each.digest, ())
                if any(tag.startswith(f"{self.run}.") for tag in tags):
                    named[part] = each
        return newest | named


def subject_of(artifact: Artifact, stage: Stage) -> str:
    """What an artifact is about: its step is the stage's verb and that."""
    return artifact.provenance.step.removeprefix(stage.verb).removeprefix("-")


def input_of(artifact: Artifact | None, name: str) -> str:
    """The digest of what an artifact was made from; "" where it was not."""
    read: Mapping[str, str] = artifact.provenance.inputs if artifact else {}
    return read.get(name, "")


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
