"""What a report speaks of: the base checkpoint, the fine-tuned one, and an engine per target."""

from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Type, TypeVar

from mmdet_jetson.contract.analysis import ANALYSIS, Analysis
from mmdet_jetson.contract.records import read_record
from mmdet_jetson.contract.report import (
    BASE,
    CHECKPOINT,
    EvaluationMetrics,
    ProfileMetrics,
    input_name,
    read_profile,
)
from mmdet_jetson.stages.annotations.coco_file import read_predictions
from mmdet_jetson.stages.gates.measured import EvaluatedSubject
from mmdet_jetson.stages.inference.passport import PASSPORT, EngineFile, Passport
from mmdet_jetson.stages.proving.proof import Proof
from mmdet_jetson.stages.reporting.intervals import ap50_interval

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """One thing that was measured; what is missing is None.

    ``evaluation`` is the folder with predictions and pictures, ``metrics`` the figures in it. Only
    an engine has a file, a profile and a proof. ``analysis`` is what its detections say beyond AP.
    """

    name: str
    evaluation: Optional[Path]
    metrics: Optional[EvaluationMetrics]
    profile: Optional[ProfileMetrics]
    engine: Optional[EngineFile]
    proof: Optional[Proof]
    analysis: Optional[Analysis] = None

    @property
    def is_engine(self) -> bool:
        """Whether this is the engine of a target, and not a checkpoint."""
        return self.name not in (BASE, CHECKPOINT)

    @property
    def title(self) -> str:
        """A name for headings."""
        return {BASE: "Base", CHECKPOINT: "Checkpoint"}.get(self.name, self.name)

    def figure(self, key: str) -> Optional[float]:
        """One of the 12 COCO figures, or None."""
        return self.metrics.figures.get(key) if self.metrics else None

    def class_ap(self, name: str) -> Optional[float]:
        """AP of a class, or None."""
        return self.metrics.per_class.get(name) if self.metrics else None


def read_subjects(inputs: Mapping[str, Path], targets: Sequence[str]) -> List[Subject]:
    """The base (where it was evaluated), the checkpoint, then every target in the given order."""
    first = [BASE] if input_name("evaluation", BASE) in inputs else []
    return [_read_subject(inputs, name) for name in [*first, CHECKPOINT, *targets]]


def read_evaluated(subject: Subject, annotations: Path) -> Optional[EvaluatedSubject]:
    """What the gates may know of a subject, or None where it has no evaluation.

    ``annotations`` is the validation set's COCO file.
    """
    if subject.evaluation is None or subject.metrics is None:
        return None
    path = subject.evaluation / "predictions.json"
    if not path.is_file():
        return EvaluatedSubject(subject.metrics)
    return EvaluatedSubject(subject.metrics, ap50_interval(annotations, read_predictions(path)))


def read_if_there(folder: Optional[Path], name: str, kind: Type[T]) -> Optional[T]:
    """The record in a JSON file, None where there is no such file.

    Raises:
        ContractError: the file holds something else.
    """
    if folder is None or not (folder / name).is_file():
        return None
    return read_record(folder / name, kind)


def _read_profile(folder: Optional[Path]) -> Optional[ProfileMetrics]:
    """The same of a profile, which an earlier release may have made."""
    file = folder / "profile.json" if folder else None
    return read_profile(file) if file and file.is_file() else None


def _read_subject(inputs: Mapping[str, Path], name: str) -> Subject:
    evaluation = inputs.get(input_name("evaluation", name))
    profile = inputs.get(input_name("profile", name))
    proof = inputs.get(input_name("proof", name))
    passport = read_if_there(inputs.get(input_name("engine", name)), PASSPORT, Passport)
    return Subject(
        name=name,
        evaluation=evaluation,
        metrics=read_if_there(evaluation, "metrics.json", EvaluationMetrics),
        profile=_read_profile(profile),
        engine=passport.engine if passport else None,
        proof=read_if_there(proof, "proof.json", Proof),
        analysis=read_if_there(evaluation, ANALYSIS, Analysis),
    )
