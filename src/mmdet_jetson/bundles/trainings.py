"""One training and all that was made of it: found in a store by what was made from what.

Names of a run move on to its next training; a checkpoint's digest does not. So what belongs to a
training is looked for by the digests that each artifact keeps of its inputs, and names decide only
where several would do.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from mmdet_jetson.bundles import contents
from mmdet_jetson.bundles.contents import Contents, PartName, checkpoint_of_run
from mmdet_jetson.bundles.dataset_summary import content_of, is_summary
from mmdet_jetson.contract.report import BASE, CHECKPOINT
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.config_files import carried_by
from mmdet_jetson.planning.stages import Stage
from mmdet_jetson.planning.target_steps import VALIDATION, WEIGHTS
from mmdet_jetson.planning.training_steps import TRAINED_ON
from mmdet_jetson.store import Artifact, Store, is_cache_tag

NAMED = tuple(f".{stage.verb}" for stage in stages.CHECKPOINTS)
"""What names of checkpoints end in: those of trainings, and of models that were taken."""
EARLIER = re.compile(r"(.+)~(\d{1,6})")
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
        self._made_from: dict[tuple[str, str, str], list[Artifact]] = {}
        self._judging: dict[tuple[str, str], list[Artifact]] = {}
        for each in self.artifacts:
            made = each.provenance
            for name, digest in made.inputs.items():
                self._made_from.setdefault((made.stage, name, digest), []).append(each)
            if each.subject:
                self._judging.setdefault((made.stage, each.subject.digest), []).append(each)

    def made_from(self, stage: Stage, name: str, digest: str | None) -> list[Artifact]:
        """What a stage made from an input of that name and content, the newest last."""
        found = self._made_from.get((stage.module, name, digest or ""), [])
        return [each for each in found if _is(each, stage)]

    def judging(self, stage: Stage, artifact: Artifact) -> list[Artifact]:
        """What a stage made about an artifact, the newest last."""
        found = self._judging.get((stage.module, artifact.digest), [])
        return [each for each in found if _is(each, stage)]

    @cached_property
    def datasets(self) -> dict[str, list[Artifact]]:
        """The datasets by what a training reads of them, those without their pictures first.

        Trainings of earlier releases read all that a dataset has: it has that name, too.
        A summary that cannot be read is left out: it may come from elsewhere.
        """
        found: dict[str, list[Artifact]] = {}
        made = [each for each in self.artifacts if _is(each, stages.DATASET)]
        for each in sorted(made, key=lambda each: not is_summary(each)):
            with suppress(UserError):
                named = {content_of(self.store, each, titles) for titles in (TRAINED_ON, None)}
                for content in filter(None, named):
                    found.setdefault(content, []).append(each)
        return found

    @property
    def trainings(self) -> list[Artifact]:
        """Every checkpoint, of trainings and those that were taken, the newest first."""
        return [each for each in reversed(self.artifacts) if is_checkpoint(each)]

    @cached_property
    def runs(self) -> dict[str, list[str]]:
        """The runs that a training is the newest of, by its digest."""
        return {
            digest: sorted({_run_named(tag) for tag in tags if tag.endswith(NAMED)})
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
    ``RUN~2`` is the last but two of the trainings that a report calls that run's.

    Raises:
        UserError: there is no such thing, or a part of the bundle is missing or damaged.
    """
    if store.bundle(name):
        return contents.contents_of(store, name)
    if earlier := EARLIER.fullmatch(name):
        return _earlier(Shelf(store), earlier[1], int(earlier[2]))
    for run, found in ((name, checkpoint_of_run(store, name)), ("", store.find(name))):
        if found and is_checkpoint(found):
            return Shelf(store).of_training(found, run or _run_named(name))
    for end in NAMED:
        contents.refuse_damaged(store, f"{name}{end}")
    return contents.contents_of(store, name)


def _earlier(shelf: Shelf, run: str, back: int) -> Contents:
    """The training that has been a run's so many trainings ago."""
    newest = checkpoint_of_run(shelf.store, run)
    found = [shelf.of_training(each) for each in shelf.trainings if each.digest != _digest(newest)]
    before = [each for each in found if run_of(each) == run]
    if newest and back == 0:
        return shelf.of_training(newest, run)
    if newest is None or back > len(before):
        count = len(before) + (newest is not None)
        known = f"{count} training{' is' if count == 1 else 's are'} known"
        raise UserError(f"{run}~{back}: of run {run} {known}", "`invoke runs` lists all trainings")
    return before[back - 1]


def _digest(artifact: Artifact | None) -> str:
    return artifact.digest if artifact else ""


def shown(store: Store, name: str) -> Contents:
    """What belongs to a name: of a training by its digest all that was made of it, as `side`.

    Raises:
        UserError: as `side`.
    """
    found = None if store.bundle(name) or name in store.tags() else store.find(name)
    is_training = found is not None and is_checkpoint(found)
    return side(store, name) if is_training else contents.contents_of(store, name)


def run_of(sides: Contents) -> str:
    """The run that a report calls its own; "" where there is no report."""
    report = sides.get(contents.REPORT)
    return str(report.provenance.parameters.get("name", "")) if report else ""


def verdict_of(sides: Contents) -> str:
    """What a report says of the gates; "" where there is no report."""
    report = sides.get(contents.REPORT)
    return str(report.provenance.metrics.get("verdict", "")) if report else ""


@dataclass(frozen=True)
class _Search:
    """Looks for what belongs to a training."""

    shelf: Shelf
    checkpoint: Artifact
    run: str

    @property
    def needs_name(self) -> bool:
        """Whether only what has the run's name belongs to it.

        A model may be taken from another run of the store, and what that has made of it came of
        other pictures.
        """
        return is_taken(self.checkpoint) and self.run in self.shelf.runs.get(
            self.checkpoint.digest, ()
        )

    def parts(self) -> Parts:
        weights, read = _weights(self.checkpoint), self.checkpoint.provenance.inputs
        found: Parts = {PartName(contents.CHECKPOINT): self.checkpoint}
        found |= self._dataset(read.get("dataset", "")) or self._measured_on(weights)
        found |= self._from(stages.EVALUATE_CHECKPOINT, "checkpoint", weights)
        found |= self._base(found.get(PartName(contents.DATASET)))
        found |= self._from(stages.EXPORT, "checkpoint", weights)
        engines: list[Artifact] = []
        for content in {each.content for part, each in found.items() if part.kind == contents.ONNX}:
            found |= self._from(stages.EVALUATE_ENGINE, "onnx", content)
            engines += self.shelf.made_from(stages.ENGINE, "onnx", content)
        for part, engine in self._best(stages.ENGINE, engines).items():
            found |= {part: engine, **self._evidence(part.subject, engine)}
        return found | self._from(
            stages.REPORT, CHECKPOINT, _content(self.checkpoint, ("metrics.json",))
        )

    def _dataset(self, content: str) -> Parts:
        """The newest dataset that was there to train with; a summary, where there is no more."""
        when = self.checkpoint.provenance.created
        made = self.shelf.datasets.get(content, [])
        order = sorted(made, key=lambda a: (not is_summary(a), a.provenance.created <= when))
        return {PartName(contents.DATASET): each for each in order[-1:]}

    def _measured_on(self, weights: str | None) -> Parts:
        """The newest dataset that a checkpoint was evaluated on, which was not trained here."""
        made = self._from(stages.EVALUATE_CHECKPOINT, "checkpoint", weights).values()
        newest = sorted(made, key=lambda each: each.provenance.created)[-1:]
        read = {input_of(each, "dataset") for each in newest}
        there = {each.digest: each for each in chain(*self.shelf.datasets.values())}
        fitting = [
            each
            for each in there.values()
            if content_of(self.shelf.store, each, VALIDATION) in read
        ]
        order = sorted(fitting, key=lambda each: (not is_summary(each), each.provenance.created))
        return {PartName(contents.DATASET): each for each in order[-1:]}

    def _evidence(self, target: str, engine: Artifact) -> Parts:
        """What was measured of an engine."""
        found: Parts = {}
        for stage in (stages.EVALUATE_ENGINE, stages.PROFILE, stages.PROVE):
            about = self.shelf.judging(stage, engine)
            for name in ("engine", "judged"):  # the same engine may have been made twice
                about += self.shelf.made_from(stage, name, engine.content)
            about.sort(key=lambda each: each.provenance.created)
            for each in self._best(stage, about).values():
                found[PartName(each.kind, target)] = each
        return found

    def _base(self, dataset: Artifact | None) -> Parts:
        """The evaluation of the weights before the training."""
        read = self.checkpoint.provenance.inputs
        pictures = content_of(self.shelf.store, dataset, VALIDATION) if dataset else None
        made = self.shelf.made_from(stages.EVALUATE_CHECKPOINT, "weights", read.get("weights"))
        fitting = [
            each
            for each in made
            if input_of(each, "config") == read.get("config")
            and input_of(each, "dataset") == pictures
        ]
        found = self._best(stages.EVALUATE_CHECKPOINT, fitting)
        return {part: each for part, each in found.items() if part.subject == BASE}

    def _from(self, stage: Stage, name: str, digest: str | None) -> Parts:
        return self._best(stage, self.shelf.made_from(stage, name, digest))

    def _best(self, stage: Stage, made: Iterable[Artifact]) -> Parts:
        """By what it is about: what has a name of the run, else the newest where that will do."""
        newest: Parts = {}
        named: Parts = {}
        for each in made:
            part = PartName(each.kind, subject_of(each, stage))
            newest[part] = each
            tags = self.shelf.tags.get(each.digest, ())
            if any(tag.startswith(f"{self.run}.") for tag in tags):
                named[part] = each
        return named if self.needs_name else newest | named


def subject_of(artifact: Artifact, stage: Stage) -> str:
    """What an artifact is about: its step is the stage's verb and that."""
    return artifact.provenance.step.removeprefix(stage.verb).removeprefix("-")


def input_of(artifact: Artifact | None, name: str) -> str:
    """The digest of what an artifact was made from; "" where it was not."""
    read: Mapping[str, str] = artifact.provenance.inputs if artifact else {}
    return read.get(name, "")


def is_checkpoint(artifact: Artifact) -> bool:
    """Whether it is a checkpoint, of a training or one that was taken."""
    return any(_is(artifact, stage) for stage in stages.CHECKPOINTS)


def is_taken(artifact: Artifact) -> bool:
    """Whether it is a model that was trained already."""
    return _is(artifact, stages.MODEL)


def _run_named(tag: str) -> str:
    return next((tag.removesuffix(end) for end in NAMED if tag.endswith(end)), tag)


def _is(artifact: Artifact, stage: Stage) -> bool:
    return artifact.kind == stage.makes and artifact.provenance.stage == stage.module


def _weights(checkpoint: Artifact) -> str | None:
    """The digest that what reads a checkpoint has of it."""
    return _content(checkpoint, (*WEIGHTS, *carried_by(checkpoint)))


def _content(artifact: Artifact, parts: tuple[str, ...]) -> str | None:
    try:
        return artifact.content_of(parts)
    except KeyError:
        return None
