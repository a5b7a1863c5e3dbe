"""Whether artifacts belong together: each is held against the digests of what it was made from.

Names of a run move one by one, so after a new training some still lead to what was made of the old
one; and what comes from elsewhere has only its digests to show where it belongs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmdet_jetson.bundles.contents import (
    CHECKPOINT,
    DATASET,
    ENGINE,
    EVALUATION,
    ONNX,
    PROFILE,
    PROOF,
    REPORT,
    Contents,
    PartName,
)
from mmdet_jetson.bundles.dataset_summary import content_of, is_summary, original
from mmdet_jetson.bundles.passports import contradicted
from mmdet_jetson.contract.report import BASE, DOCUMENTED, input_name
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.config_files import carried_by
from mmdet_jetson.planning.steps import name_of
from mmdet_jetson.planning.target_steps import (
    CALIBRATION,
    DETECTED,
    SHOWN,
    VALIDATION,
    WEIGHTS,
)
from mmdet_jetson.planning.training_steps import TRAINED_ON
from mmdet_jetson.store import Artifact


@dataclass(frozen=True)
class Contradiction:
    """Two things that do not go together, as a sentence; ``part`` is the one to make again."""

    part: PartName
    sentence: str


@dataclass(frozen=True)
class _Link:
    """What a part was made from: the name of the input, and whose content it should have."""

    input: str
    origin: PartName
    titles: tuple[str, ...] | None = None


def contradictions(contents: Contents) -> Iterator[Contradiction]:
    """Everything that speaks against artifacts being one release, as far as it is known here.

    Raises:
        UserError: a file that would tell is damaged.
    """
    for part, artifact in contents.parts.items():
        yield from _of_another_step(contents, part, artifact)
        for link in _links(contents, part):
            yield from _of_another_origin(contents, part, link)
        if judged := _judged(part):
            yield from _about_another(contents, part, artifact, judged)
    yield from _of_other_pictures(contents)
    yield from _of_other_weights(contents)
    yield from _of_another_original(contents)
    for part, how in contradicted(contents):
        yield Contradiction(part, f"{contents.title(part)} {how}")


def judged_by(contents: Contents, part: PartName) -> Iterator[Artifact]:
    """The evidence about a part."""
    return (each for name, each in contents.parts.items() if _judged(name) == part)


def _of_another_step(
    contents: Contents, part: PartName, artifact: Artifact
) -> Iterator[Contradiction]:
    """A tag can be moved to anything. An export may have been made for another target alike."""
    made = artifact.provenance
    stage = next((each for each in stages.STAGES if each.module == made.stage), None)
    if stage and stage is not stages.EXPORT and made.step != name_of(stage, part.subject):
        yield Contradiction(part, f"{contents.title(part)} is what step {made.step} made")


def _links(contents: Contents, part: PartName) -> Iterator[_Link]:
    """What a part was made from, of what is here."""
    kind, subject = part
    dataset, checkpoint = PartName(DATASET), PartName(CHECKPOINT)
    if kind == CHECKPOINT:
        yield _Link("dataset", dataset, TRAINED_ON)
    elif kind == ONNX:
        yield _Link("checkpoint", checkpoint, WEIGHTS)
    elif kind == ENGINE:
        yield _Link("onnx", PartName(ONNX, subject))
        yield _Link("training", dataset, CALIBRATION)
        yield _Link("validation", dataset, VALIDATION)
    elif kind in (EVALUATION, PROFILE):
        yield _Link("dataset", dataset, VALIDATION)
        yield _Link("checkpoint", checkpoint, WEIGHTS)
        yield _Link("onnx", PartName(ONNX, subject))
        yield _Link("engine", PartName(ENGINE, subject))
    elif kind == PROOF:
        yield _Link("judged", PartName(ENGINE, subject))
        yield _Link("dataset", dataset, ("val.json",))
        yield _Link("graph", PartName(ONNX, subject))
        yield _Link("documented_graph", PartName(ONNX, DOCUMENTED))
        for named, about in ((TRAINED, TRAINED), (DOCUMENTED, DOCUMENTED), ("engine", subject)):
            yield _Link(named, PartName(EVALUATION, about), DETECTED)
    elif kind == REPORT:
        for each in contents.parts:
            yield _Link(input_name(*each), each, SHOWN.get(each.kind))


def _of_another_origin(contents: Contents, part: PartName, link: _Link) -> Iterator[Contradiction]:
    read = contents.parts[part].provenance.inputs.get(link.input)
    expected = _content(contents, link.origin, link.titles)
    if part.kind == CHECKPOINT and read == _content(contents, link.origin, None):
        return  # Trainings of earlier releases read all that a dataset has.
    if read is not None and expected is not None and read != expected:
        verb = _VERBS.get(part.kind, "was made from")
        origin = contents.title(link.origin)
        yield Contradiction(
            part, f"{contents.title(part)} {verb} another {_noun(link)} than {origin}"
        )


_VERBS = {EVALUATION: "was measured with", PROFILE: "was measured with", REPORT: "shows"}


def _noun(link: _Link) -> str:
    """What differs, as a person calls it."""
    if link.origin.kind == DATASET:
        return "set of pictures"
    return "ONNX" if link.origin.kind == ONNX else link.origin.kind


def _content(contents: Contents, part: PartName, titles: Sequence[str] | None) -> str | None:
    """The content digest of a part or of some of its entries; None where these are not here."""
    artifact = contents.parts.get(part)
    if artifact is None:
        return None
    if part.kind == DATASET:
        return content_of(contents.store, artifact, titles)
    if titles == WEIGHTS:
        titles = (*WEIGHTS, *carried_by(artifact))
    return None if titles and set(titles) - artifact.titles else artifact.content_of(titles)


def _judged(part: PartName) -> PartName | None:
    """What a piece of evidence refers to."""
    kind, subject = part
    if kind in (PROOF, PROFILE):
        return PartName(ENGINE, subject)
    if kind != EVALUATION or subject == BASE:
        return None
    special = {TRAINED: PartName(CHECKPOINT), DOCUMENTED: PartName(ONNX, DOCUMENTED)}
    return special.get(subject, PartName(ENGINE, subject))


def _about_another(
    contents: Contents, part: PartName, artifact: Artifact, judged: PartName
) -> Iterator[Contradiction]:
    """Of the same content two artifacts may have been made; evidence of one is that of both."""
    expected, subject = contents.parts.get(judged), artifact.subject
    if not expected or (subject and subject.digest == expected.digest):
        return
    read = artifact.provenance.inputs
    links = [link for link in _links(contents, part) if link.origin == judged]
    if subject and (other := contents.store.find(subject.digest)):
        if other.content != expected.content:
            yield Contradiction(
                part,
                f"{contents.title(part)} is about another {judged.kind} ({other.digest[7:19]}) "
                f"than {contents.title(judged)}",
            )
    elif not any(link.input in read for link in links):
        yield Contradiction(
            part, f"{contents.title(part)} does not say that it is about {contents.title(judged)}"
        )


def _of_other_pictures(contents: Contents) -> Iterator[Contradiction]:
    """Where there is no dataset, what was measured can still be held against each other."""
    if contents.dataset:
        return
    measured = [part for part in contents.parts if part.kind in (EVALUATION, PROFILE)]
    read = {part: contents.parts[part].provenance.inputs.get("dataset") for part in measured}
    for part in measured[1:]:
        if read[part] != read[measured[0]]:
            yield Contradiction(
                part,
                f"{contents.title(part)} was measured with another set of pictures than "
                f"{contents.title(measured[0])}",
            )


def _of_other_weights(contents: Contents) -> Iterator[Contradiction]:
    """The evaluation of what the training started from."""
    base, checkpoint = PartName(EVALUATION, BASE), contents.checkpoint
    evaluation = contents.parts.get(base)
    if evaluation and checkpoint:
        read, trained = evaluation.provenance.inputs, checkpoint.provenance.inputs
        if read.get("weights") != trained.get("weights"):
            yield Contradiction(
                base,
                f"{contents.title(base)} was measured with other weights than those that "
                f"{contents.title(PartName(CHECKPOINT))} started from",
            )


def _of_another_original(contents: Contents) -> Iterator[Contradiction]:
    """A summary whose entries do not add up to what it says it is of."""
    dataset, part = contents.dataset, PartName(DATASET)
    if dataset and is_summary(dataset):
        said = original(contents.store, dataset)
        if said.content != content_of(contents.store, dataset, None):
            yield Contradiction(
                part, f"{contents.title(part)} has other annotations than the dataset it is of"
            )
