"""A run's artifacts become a bundle: chosen, held against each other, bound into one index."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmdet_jetson.bundles.belonging import contradictions, judged_by
from mmdet_jetson.bundles.contents import (
    CHECKPOINT,
    DATASET,
    ENGINE,
    EVALUATION,
    EVIDENCE_OF_PART,
    IMAGE_TESTS,
    KIND_OF_PART,
    ONNX,
    PROFILE,
    PROOF,
    REPORT,
    SUBJECTS_OF_PART,
    TWIN_OF,
    Contents,
    PartName,
    refuse_damaged,
)
from mmdet_jetson.bundles.dataset_summary import summarize
from mmdet_jetson.bundles.remedies import as_measured, command_for
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.contract.report import BASE, DOCUMENTED
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.steps import Step
from mmdet_jetson.store import Artifact, Bundle, Descriptor, Store, oci

KINDS = (CHECKPOINT, ONNX, ENGINE, EVALUATION, PROOF, PROFILE, IMAGE_TESTS, REPORT, DATASET)
"""What a bundle has, in its order."""
OF_ENGINE = (ENGINE, EVALUATION, PROOF, PROFILE)
"""An engine, and what can be measured of one."""
TARGETS, MISSING = "mmdet-jetson.targets", "mmdet-jetson.missing"
"""Annotations of a bundle: the targets that it has an engine for, and what it lacks."""
CREATED, TITLE = "org.opencontainers.image.created", oci.TITLE
REVISION = "org.opencontainers.image.revision"


def choose(
    run: Contents,
    project: Project,
    only: Collection[str] = (),
    steps: Iterable[Step] | None = None,
) -> Contents:
    """Take of a run what a bundle of a project has; with ``only``, of these targets alone.

    ``steps`` are the project's for the targets of all engines: what a run has beside them is left
    of another configuration, and nothing makes it anew. None is for all that the run has.

    Raises:
        UserError: there is no checkpoint, or no engine, or none of what an engine was made from;
            says what makes it.
    """
    engines = [each for each in run.targets if not only or each in only]
    planned = run.parts.keys() if steps is None else set(planned_parts(steps))
    unknown = [each for each in engines if each not in project.targets]  # of another targets.toml
    parts = {
        name: each
        for name, each in run.parts.items()
        if name.kind in KINDS
        and (name in planned or name.subject in unknown)
        and (name.kind not in OF_ENGINE or not _of_target(name) or name.subject in engines)
    }
    if PartName(CHECKPOINT) not in parts:
        made_by = stages.MODEL if project.pipeline.model else stages.TRAINING
        refuse_damaged(run.store, f"{run.name}.{made_by.verb}")
        raise UserError(
            f"there is no {run.name}.{made_by.verb} in {run.store.root}, so there is nothing to "
            "bundle",
            command_for(PartName(CHECKPOINT), project),
        )
    if not engines:
        target = next(iter(only or project.used_targets))
        raise UserError(
            f"run {run.name} in {run.store.root} has no engine for any target",
            command_for(PartName(ENGINE, target), project),
        )
    exports = {PartName(ONNX, each): _export(run, each, project) for each in engines}
    return replace(run, parts=_in_order({**parts, **exports, **_image_tests(run.store, parts)}))


def planned_parts(steps: Iterable[Step]) -> list[PartName]:
    """What a bundle of a whole run has, but for tests of images."""
    return [PartName(step.kind, step.subject) for step in steps if step.kind in KINDS]


def _of_target(name: PartName) -> bool:
    return name.subject not in (BASE, TRAINED, DOCUMENTED)


def _export(run: Contents, target: str, project: Project) -> Artifact:
    """What an engine was made from: its own export, or one that another target shares with it."""
    if own := run.get(ONNX, target):
        return own
    engine = run.parts[PartName(ENGINE, target)]
    read = engine.provenance.inputs.get("onnx")
    for each in run.of_kind(ONNX).values():
        if each.content == read:
            return each
    raise UserError(
        f"{run.title(PartName(ENGINE, target))} was made from an ONNX that run {run.name} has not",
        f"{command_for(PartName(ONNX, target), project)}, or leave it out: name the other targets "
        "with --target",
    )


def _image_tests(store: Store, parts: Mapping[PartName, Artifact]) -> dict[PartName, Artifact]:
    """The tests of the images that anything was made in, by the name of the image."""
    used = {str(each.provenance.facts.get("image_digest", "")) for each in parts.values()}
    found: dict[PartName, Artifact] = {}
    for each in store.artifacts():
        if each.kind == IMAGE_TESTS and each.provenance.inputs.get("image") in used - {""}:
            image = str(each.provenance.parameters.get("image", ""))
            name = PartName(IMAGE_TESTS, image)
            if name in found:  # two images of one name, as on two machines
                name = PartName(IMAGE_TESTS, f"{image}-{each.digest[7:19]}")
            found[name] = each
    return found


def _in_order(parts: Mapping[PartName, Artifact]) -> dict[PartName, Artifact]:
    first = {subject: place for place, subject in enumerate((BASE, TRAINED, DOCUMENTED))}

    def place(name: PartName) -> tuple[int, int, str]:
        return KINDS.index(name.kind), first.get(name.subject, len(first)), name.subject

    return {name: parts[name] for name in sorted(parts, key=place)}


def missing(contents: Contents, steps: Iterable[Step]) -> list[PartName]:
    """What a bundle should have by the plan of its project, and has not.

    Of a target without an engine that is the engine; the rest comes with it.
    """
    planned = planned_parts(steps)
    engines = {each.subject for each in planned if each.kind == ENGINE}
    without = engines - set(contents.targets)
    return [
        name
        for name in planned
        if name not in contents.parts and (name.kind == ENGINE or name.subject not in without)
    ]


def check(contents: Contents, project: Project) -> None:
    """Refuse artifacts that do not belong together.

    Raises:
        UserError: names the first two that do not, and what to run.
    """
    found = list(contradictions(contents))
    if not found:
        return
    first, stale = found[0].part, {each.part for each in found}
    project = as_measured(contents, project, stale)
    hint = command_for(first, project)
    if others := len(stale) - 1:
        hint = f"{project.command('pipeline')}, which makes again what is stale"
    more = f" ({others} more: invoke show {contents.name})" if others else ""
    raise UserError(f"{found[0].sentence}{more}", hint)


def stale_beside(contents: Contents, project: Project) -> list[str]:
    """The targets that the pipeline does not build for, and of which something does not belong.

    No command of it makes that again, so that it would be refused for ever.
    """
    beside = [each for each in contents.targets if each not in project.pipeline.targets]
    stale = {each.part.subject for each in contradictions(contents)} if beside else ()
    return [each for each in beside if each in stale]


def bind(
    contents: Contents,
    lacks: Sequence[PartName],
    *,
    with_dataset: bool = False,
) -> Bundle:
    """Store the index over artifacts that belong together; it has no name yet.

    The same parts give the same digest: nothing in it is of the time or the place of its making.
    Pictures of the dataset stay out unless ``with_dataset``.

    Raises:
        UserError: something is damaged, or the disk is full.
    """
    store, (parts, twins) = contents.store, _judged_ones(contents)
    dataset = parts.get(PartName(DATASET))
    if dataset and not with_dataset:
        parts[PartName(DATASET)] = summarize(store, dataset)
    newest = max(parts.values(), key=lambda each: each.provenance.created).provenance
    annotations = {
        TITLE: contents.name,
        CREATED: newest.created,
        REVISION: newest.commit,
        TARGETS: ",".join(sorted(contents.targets)),
        MISSING: ",".join(map(str, lacks)),
    }
    said = {name: value for name, value in annotations.items() if value}
    pointers = [*_pointers(parts), *twins]
    return store.put_bundle(pointers, said)


def _judged_ones(contents: Contents) -> tuple[dict[PartName, Artifact], list[Descriptor]]:
    """The artifacts that evidence refers to, where others have the same content; and other twins.

    What was made again, and came out the same, has another digest than what was judged. A
    registry that is handed the bundle should have what its evidence refers to.
    """
    parts, twins = dict(contents.parts), dict[str, Descriptor]()
    for name, artifact in contents.parts.items():
        judged = {each.subject.digest: each for each in judged_by(contents, name) if each.subject}
        others = [contents.store.find(digest) for digest in judged if digest != artifact.digest]
        there = [each for each in others if each]
        if there and artifact.digest not in judged:
            parts[name] = max(there, key=lambda each: each.provenance.created)
        for each in there:
            if each.digest != parts[name].digest:
                said = {TITLE: f"{name}, made at another time", TWIN_OF: parts[name].digest}
                twins[each.digest] = _pointer(each.descriptor, said)
    return parts, list(twins.values())


def _pointers(parts: Mapping[PartName, Artifact]) -> Iterator[Descriptor]:
    """One descriptor an artifact, whatever the number of its subjects."""
    subjects: dict[str, list[PartName]] = {}
    for name, artifact in parts.items():
        subjects.setdefault(artifact.digest, []).append(name)
    by_digest = {each.digest: each for each in parts.values()}
    for digest, names in subjects.items():
        artifact = by_digest[digest]
        said = {
            TITLE: f"{names[0].kind} {', '.join(each.subject for each in names)}".strip(),
            KIND_OF_PART: artifact.kind,
            SUBJECTS_OF_PART: ",".join(each.subject for each in names),
            EVIDENCE_OF_PART: str(artifact.provenance.parameters.get("evidence", "")),
        }
        kept = {key: value for key, value in said.items() if value}
        yield _pointer(artifact.descriptor, kept)


def _pointer(manifest: Descriptor, annotations: dict[str, str]) -> Descriptor:
    """A pointer with annotations; ``artifactType`` would not survive skopeo (`store.bundles`)."""
    return Descriptor(
        media_type=manifest.media_type,
        digest=manifest.digest,
        size=manifest.size,
        annotations=annotations,
    )
