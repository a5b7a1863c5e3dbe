"""What belongs to one release or run: artifacts by what they are and what they are about."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from mmdet_jetson.config.toml import nearest
from mmdet_jetson.contract.records import ContractError, decode
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.contract.report import ProfileMetrics, profile_of
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.steps import name_of
from mmdet_jetson.registry.names import is_name
from mmdet_jetson.store import Artifact, Bundle, Store, is_cache_tag
from mmdet_jetson.store.manifests import KIND_OF

T = TypeVar("T")
SUBJECT = re.compile(r"[A-Za-z0-9_.-]*")
"""What parts may be about: as targets may be called; nothing for the only one of its kind."""

DATASET, CHECKPOINT = stages.DATASET.makes, stages.TRAINING.makes
ONNX, ENGINE = stages.EXPORT.makes, stages.ENGINE.makes
EVALUATION, PROOF = stages.EVALUATE_ENGINE.makes, stages.PROVE.makes
PROFILE, REPORT = stages.PROFILE.makes, stages.REPORT.makes
IMAGE_TESTS = "image-tests"
KIND_OF_PART, SUBJECTS_OF_PART = KIND_OF, "mmdet-jetson.subjects"
"""Annotations of a bundle's part; several subjects have commas between them."""
EVIDENCE_OF_PART = "mmdet-jetson.evidence"
"""How near to its target a part was measured."""
TWIN_OF = "mmdet-jetson.twin-of"
"""The same content as another part, made at another time; evidence refers to this one."""
BUNDLE_TAG = "bundle"


class PartName(NamedTuple):
    """What an artifact is and what it is about: a target, or a name of `contract.report`."""

    kind: str
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}" if self.subject else self.kind


@dataclass(frozen=True)
class Contents:
    """Artifacts that go together, or are said to: a run's, a bundle's, or one alone.

    ``name`` is what the user called it. ``called`` has what to call a part where a command is
    told it: a tag or a digest.
    """

    name: str
    store: Store
    parts: Mapping[PartName, Artifact]
    called: Mapping[PartName, str] = field(default_factory=dict)
    bundle: Bundle | None = None

    def get(self, kind: str, subject: str = "") -> Artifact | None:
        """The part of a kind that is about a subject; None where there is none."""
        return self.parts.get(PartName(kind, subject))

    def of_kind(self, kind: str) -> dict[str, Artifact]:
        """All parts of a kind, by subject."""
        return {name.subject: each for name, each in self.parts.items() if name.kind == kind}

    @property
    def dataset(self) -> Artifact | None:
        """The dataset; in a bundle it may be without its pictures (`dataset_summary`)."""
        return self.get(DATASET)

    @property
    def checkpoint(self) -> Artifact | None:
        """The trained weights."""
        return self.get(CHECKPOINT)

    @property
    def targets(self) -> list[str]:
        """The targets that have an engine here."""
        return list(self.of_kind(ENGINE))

    def title(self, part: PartName) -> str:
        """What a sentence calls a part: by its tag, or by what it is and its digest."""
        digest = self.parts[part].digest.removeprefix("sha256:")[:12]
        return self.called.get(part) or f"{part} ({digest})"

    def name_of(self, artifact: Artifact) -> str:
        """What a user can call a part: its tag where it has one, else its digest."""
        names = (self.called.get(name) for name, each in self.parts.items() if each is artifact)
        return next(filter(None, names), artifact.digest.removeprefix("sha256:")[:12])

    def document(self, artifact: Artifact, title: str) -> object:
        """What a JSON file of a part says; None where the part has no such file.

        Raises:
            UserError: the file is missing from the store, damaged or no JSON.
        """
        if title not in artifact.titles:
            return None
        try:
            return json.loads(self.store.read(artifact, title))
        except (ValueError, RecursionError) as error:
            raise _unreadable(f"{title} of {self.name_of(artifact)}", str(error)) from error

    def record(self, artifact: Artifact, title: str, kind: type[T]) -> T | None:
        """The same as a record of the contract.

        Raises:
            UserError: as `document`, or another version wrote it.
        """
        content = self.document(artifact, title)
        try:
            return None if content is None else decode(kind, content, title)
        except ContractError as error:
            raise _unreadable(f"{title} of {self.name_of(artifact)}", str(error)) from error

    def profile(self, artifact: Artifact) -> ProfileMetrics | None:
        """A profile, also of an earlier release; None where the part holds none.

        Raises:
            UserError: as `record`.
        """
        content = self.document(artifact, "profile.json")
        try:
            return None if content is None else profile_of(content)
        except ContractError as error:
            raise _unreadable(f"profile.json of {self.name_of(artifact)}", str(error)) from error


def _unreadable(what: str, why: str) -> UserError:
    return UserError(f"{what} cannot be read: {why}", "another version may have made it")


class Unknown(UserError):
    """Nothing has that name."""


def contents_of(store: Store, name: str) -> Contents:
    """What a name stands for: a run, a bundle by tag or digest, or an artifact by tag or digest.

    Raises:
        UserError: there is no such thing, or a part of the bundle is missing or damaged.
    """
    if bundle := store.bundle(name):
        return of_bundle(store, bundle, name)
    if artifact := store.find(name):
        return of_artifact(store, artifact, name)
    if (run := of_run(store, name)).parts:
        return run
    refuse_damaged(store, name)
    known = dict.fromkeys([*runs_in(store), *(tag for tag in store.tags() if is_name(tag))])
    hint = nearest(name, known) if known else "nothing has a name yet: run `invoke demo`"
    if ":" in name:  # of a place
        hint = f"bring it here first: invoke pull {name}"
    raise Unknown(f"{store.root} has no run, bundle or artifact {name!r}", hint)


def refuse_damaged(store: Store, name: str) -> None:
    """Say so where a name is known and what it names cannot be read, with ``UserError``."""
    if flaw := store.damage(name):
        raise UserError(f"{name} is damaged: {flaw}", "run again, or `invoke verify --mend`")


def of_bundle(store: Store, bundle: Bundle, name: str) -> Contents:
    """What a bundle holds, as its annotations name it.

    Raises:
        UserError: a part is missing or damaged, or says of itself that it is something else.
    """
    parts: dict[PartName, Artifact] = {}
    for descriptor in bundle.parts:
        artifact, short = store.part(descriptor), descriptor.digest[7:19]
        if artifact is None:
            flaw = store.damage(descriptor.digest) or "it is not in the store"
            raise UserError(
                f"{short} of bundle {name} cannot be read: {flaw}", f"pull {name} again"
            )
        said = descriptor.annotations or {}
        if TWIN_OF in said:
            continue
        if said.get(KIND_OF_PART, artifact.kind) != artifact.kind:
            raise UserError(
                f"bundle {name} calls {short} {said[KIND_OF_PART]!r}, and it is {artifact.kind}",
                "bundle again where its parts were made",
            )
        for subject in said.get(SUBJECTS_OF_PART, "").split(","):
            if not SUBJECT.fullmatch(subject):
                raise UserError(
                    f"bundle {name} calls {short} {subject!r}, which is no name",
                    "ask whoever made it",
                )
            parts.setdefault(PartName(artifact.kind, subject), artifact)
    return Contents(name, store, parts, bundle=bundle)


def of_artifact(store: Store, artifact: Artifact, name: str) -> Contents:
    """One artifact."""
    part = PartName(artifact.kind, _subject(artifact, artifact.provenance.step) or "")
    return Contents(name, store, {part: artifact}, {part: name})


def of_run(store: Store, run: str) -> Contents:
    """All that has a run's name; nothing where there is no such run."""
    parts: dict[PartName, Artifact] = {}
    called: dict[PartName, str] = {}
    checkpoint = checkpoint_of_run(store, run)
    for tag in store.tags():
        artifact = store.find(tag) if tag.startswith(f"{run}.") else None
        subject = _subject(artifact, tag.removeprefix(f"{run}.")) if artifact else None
        if artifact and subject is not None:
            part = PartName(artifact.kind, subject)
            if part == PartName(CHECKPOINT) and artifact != checkpoint:
                continue
            parts[part], called[part] = artifact, tag
    return Contents(run, store, parts, called)


def checkpoint_of_run(store: Store, run: str) -> Artifact | None:
    """A run's checkpoint: where it was trained once and taken once, the one that was evaluated.

    That is what the run has gone on with; without any evaluation it is the newest.
    """
    found = [store.find(f"{run}.{stage.verb}") for stage in stages.CHECKPOINTS]
    there = [each for each in found if each and each.kind == CHECKPOINT]
    evaluation = store.find(f"{run}.{name_of(stages.EVALUATE_CHECKPOINT, TRAINED)}")
    judged = evaluation.subject.digest if evaluation and evaluation.subject else ""
    ordered = sorted(there, key=lambda each: (each.digest == judged, each.provenance.created))
    return ordered[-1] if ordered else None


def runs_in(store: Store) -> list[str]:
    """The names of all runs, in the order in which the index has their first tag."""
    runs: dict[str, None] = {}
    for tag in store.tags():
        artifact = None if is_cache_tag(tag) else store.find(tag)
        if artifact and (run := _run_of(artifact, tag)):
            runs[run] = None
    return list(runs)


def _run_of(artifact: Artifact, tag: str) -> str:
    """The run that a tag belongs to; "" for a tag that is none of a run's."""
    dots = (place for place, letter in enumerate(tag) if letter == ".")
    runs = (tag[:dot] for dot in dots if _subject(artifact, tag[dot + 1 :]) is not None)
    return next(runs, "")


def _subject(artifact: Artifact, step: str) -> str | None:
    """What a step of that name is about, if it made the artifact; else None.

    A tag is all that tells targets apart that share an export.
    """
    for stage in stages.STAGES:
        if stage.module == artifact.provenance.stage and stage.makes == artifact.kind:
            if step == stage.verb:
                return ""
            if step.startswith(f"{stage.verb}-"):
                return step.removeprefix(f"{stage.verb}-")
    return None
