"""What gates judge by: a candidate's parts, what was measured of them, and the incumbent.

A bundle may come from anywhere. What it tells is held against itself before a gate sees a number of
it: `Case` hands out what is whole, and says of the rest why it proves nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TypeVar

import msgspec

from mmdet_jetson.bundles.contents import (
    DATASET,
    ENGINE,
    EVALUATION,
    ONNX,
    PROFILE,
    PROOF,
    Contents,
    PartName,
)
from mmdet_jetson.bundles.dataset_summary import content_of
from mmdet_jetson.bundles.remedies import command_for
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.contract.matches import MATCHES
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.contract.report import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    EvaluationMetrics,
    ProfileMetrics,
)
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning.target_steps import VALIDATION
from mmdet_jetson.promotion.accuracy import Matches, read_matches
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.proofs import Proof, read_proof
from mmdet_jetson.promotion.soundness import (
    Unusable,
    check_matches,
    check_metrics,
    check_proof,
    title,
    usable,
)
from mmdet_jetson.promotion.validation import Validation, read_validation
from mmdet_jetson.promotion.verdicts import Judged
from mmdet_jetson.store import Artifact, Store

__all__ = ["Case", "Incumbent", "Unusable", "case_of", "graded", "title"]

T = TypeVar("T")


@dataclass(frozen=True)
class Incumbent:
    """What is in the channel now, measured on the candidate's pictures.

    ``matches`` is None where it was not, and ``why_not`` says why, with what to run.
    """

    bundle: str
    name: str
    matches: Matches | None
    why_not: str = ""


@dataclass(frozen=True)
class Case:
    """A bundle to be judged for a channel at a time; ``incumbent`` is None for an empty channel.

    Subjects are "checkpoint" and targets. What is asked for and not there, damaged, or about
    something else, is an `Unusable`, which `judged` turns into an outcome. ``project`` is that of
    the command, if there is one, which remedies are spelled for.
    """

    contents: Contents
    policy: Policy
    channel: str
    incumbent: Incumbent | None
    now: datetime
    project: Project | None = None
    _read: dict[tuple[str, str], object] = field(default_factory=dict, repr=False, compare=False)
    heard: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def targets(self) -> list[str]:
        """The targets that have to have an engine: the policy's, and then those of the bundle."""
        return list(dict.fromkeys([*self.policy.targets, *self.contents.targets]))

    @property
    def subjects(self) -> list[str]:
        """All that is judged by itself: the checkpoint and the engine of each target."""
        return [TRAINED, *self.targets]

    def judged(self, gate: str, subject: str, judge: Callable[[], Judged]) -> Judged:
        """What a gate says of a subject; where it cannot judge, why, or which gate said so."""
        try:
            said = judge()
        except Unusable as reason:
            said = Judged(
                gate=gate,
                outcome=reason.outcome,
                sentence=self.short(gate, subject, reason.sentence),
            )
        except UserError as error:  # a file of the bundle is damaged
            said = Judged(
                gate=gate, outcome=FAIL, sentence=self.short(gate, subject, f"{error.message}.")
            )
        return msgspec.structs.replace(said, gate=gate, subject=subject)

    def short(self, gate: str, subject: str, sentence: str) -> str:
        """Why a gate cannot judge; what another has said already is not said again."""
        name = Judged(gate=gate, subject=subject, outcome="", sentence="").name
        first = self.heard.setdefault(sentence, name)
        return sentence if first == name else f"Not judged: see {first}."

    def remedy(self, kind: str, subject: str = "") -> str:
        """The command that makes a part."""
        return command_for(PartName(kind, subject), self.project)

    def passed(self, gate: str, sentence: str) -> Judged:
        """What a gate that compares no numbers says of a good subject."""
        return Judged(gate=gate, outcome=PASS, sentence=sentence)

    def part(self, kind: str, subject: str = "") -> Artifact:
        """A part that judging needs.

        Raises:
            Unusable: the bundle has none.
        """
        if found := self.contents.get(kind, subject):
            return found
        raise Unusable(
            INCONCLUSIVE,
            f"The bundle has no {PartName(kind, subject)}: {self.remedy(kind, subject)}, and "
            "bundle again.",
        )

    @property
    def validation(self) -> str:
        """The content digest of the validation pictures and what is annotated; "" for none."""
        dataset = self.contents.dataset
        return (dataset and content_of(self.contents.store, dataset, VALIDATION)) or ""

    @cached_property
    def pictures(self) -> Validation:
        """The validation pictures.

        Raises:
            Unusable: there are none, or what describes them is damaged.
        """
        dataset = self.part(DATASET)
        if "val.json" not in dataset.titles:
            raise Unusable(FAIL, "The dataset of the bundle does not say what is in its pictures.")
        return usable(
            lambda: read_validation(self.contents.store.read(dataset, "val.json")),
            "val.json of the dataset",
        )

    def metrics(self, subject: str) -> EvaluationMetrics:
        """The figures of the checkpoint or of a target's engine, over all validation pictures.

        Raises:
            Unusable: there are none, or they are not of this.
        """
        return self._once("metrics", subject, self._metrics)

    def matches(self, subject: str) -> Matches:
        """The same picture by picture.

        Raises:
            Unusable: as `metrics`, or the two do not belong together.
        """
        return self._once("matches", subject, self._matches)

    def profile(self, target: str) -> ProfileMetrics:
        """How long a target's engine takes.

        Raises:
            Unusable: it was not timed, or by another version.
        """
        return self._once("profile", target, self._profile)

    def proof(self, target: str) -> Proof:
        """How the detections of a target's engine pair up with PyTorch's.

        Raises:
            Unusable: there is no proof, or it is damaged, or of other pictures.
        """
        return self._once("proof", target, self._proof)

    def precision(self, target: str) -> str:
        """What a target's engine computes in; "" where its passport does not say.

        Raises:
            Unusable: there is no engine.
        """
        told = self.contents.document(self.part(ENGINE, target), "passport.json")
        return str(told.get("precision", "")) if isinstance(told, dict) else ""

    def is_documented(self, target: str) -> bool:
        """Whether a target's engine is made from MMDeploy's own graph, which has no proof."""
        export = self.contents.get(ONNX, target)
        told = self.contents.document(export, "graph.json") if export else None
        return isinstance(told, dict) and told.get("graph") == "documented"

    def _once(self, what: str, subject: str, read: Callable[[str], T]) -> T:
        """Read something the first time that a gate asks."""
        if (what, subject) not in self._read:
            self._read[what, subject] = read(subject)
        return self._read[what, subject]  # type: ignore[return-value]

    def _metrics(self, subject: str) -> EvaluationMetrics:
        found = self.contents.record(
            self.part(EVALUATION, subject), "metrics.json", EvaluationMetrics
        )
        if found is None:
            raise Unusable(
                FAIL, f"The evaluation of {title(subject)} has no metrics.json, so no figures."
            )
        check_metrics(found, subject, self.pictures)
        return found

    def _matches(self, subject: str) -> Matches:
        metrics, evaluation = self.metrics(subject), self.part(EVALUATION, subject)
        if MATCHES not in evaluation.titles:
            raise Unusable(
                INCONCLUSIVE,
                f"The evaluation of {title(subject)} has no {MATCHES}, which an earlier version "
                f"did not write: {self.remedy(EVALUATION, subject)}, and bundle again.",
            )
        content = self.contents.store.read(evaluation, MATCHES)
        found = usable(lambda: read_matches(content), f"{MATCHES} of {title(subject)}")
        check_matches(found, metrics, subject, self.pictures)
        return found

    def _profile(self, target: str) -> ProfileMetrics:
        profile = self.part(PROFILE, target)
        told = self.contents.document(profile, "profile.json")
        if isinstance(told, dict) and "repeats" in told:
            raise Unusable(
                INCONCLUSIVE,
                f"The profile of {title(target)} is of an earlier version, which did not look at "
                f"clocks and heat: {self.remedy(PROFILE, target)}, and bundle again.",
            )
        found = self.contents.record(profile, "profile.json", ProfileMetrics)
        if found is None:
            raise Unusable(FAIL, f"The profile of {title(target)} has no profile.json.")
        return found

    def _proof(self, target: str) -> Proof:
        told = self.contents.document(self.part(PROOF, target), "proof.json")
        found = usable(lambda: read_proof(told), f"The proof of {title(target)}")
        check_proof(found, target, self.pictures)
        return found


def case_of(  # noqa: PLR0917 - all that a case is made of
    store: Store,
    contents: Contents,
    policy: Policy,
    channel: str,
    incumbent: Incumbent | None,
    now: datetime,
    project: Project | None = None,
) -> Case:
    """Lay out what gates judge; remedies are spelled for ``project``, if there is one.

    Raises:
        UserError: it is no bundle: a run's names move, so nothing that is judged would stay.
    """
    if contents.bundle is None:
        raise UserError(
            f"{contents.name} is no bundle, and only a bundle can enter a channel",
            f"invoke bundle --complete, then promote RUN.bundle, in place of {contents.name}",
        )
    return Case(replace(contents, store=store), policy, channel, incumbent, now, project)


def graded(case: Case) -> Mapping[PartName, Artifact]:
    """All evidence that a verdict rests on: of the checkpoint, and of each target's engine."""
    wanted = [PartName(EVALUATION, TRAINED)]
    for target in case.targets:
        wanted += [PartName(kind, target) for kind in (EVALUATION, PROOF, PROFILE)]
    parts = case.contents.parts
    return {each: parts[each] for each in wanted if each in parts}
