"""What a report speaks of: the base checkpoint, the fine-tuned one, and an engine per target."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from mmdet_jetson.contract.report import BASE, CHECKPOINT, input_name
from mmdet_jetson.stages.gates.gates import Evidence
from mmdet_jetson.stages.reporting.intervals import ap50_interval


@dataclass(frozen=True)
class Subject:
    """One thing that was measured; every mapping is empty where its artifact is missing.

    ``metrics`` comes from the evaluation, ``profile``, ``passport`` and ``proof`` from those of an
    engine, ``evaluation`` is the folder with predictions and pictures.
    """

    name: str
    evaluation: Optional[Path]
    metrics: Mapping[str, Any]
    profile: Mapping[str, Any]
    passport: Mapping[str, Any]
    proof: Mapping[str, Any]

    @property
    def is_engine(self) -> bool:
        """Whether this is the engine of a target, and not a checkpoint."""
        return self.name not in (BASE, CHECKPOINT)

    @property
    def title(self) -> str:
        """A name for headings."""
        return {BASE: "Base", CHECKPOINT: "Checkpoint"}.get(self.name, self.name)

    def figure(self, key: str) -> Any:
        """One of the 12 COCO figures, or None."""
        return self.metrics.get("figures", {}).get(key)


def read_subjects(inputs: Mapping[str, Path], targets: Sequence[str]) -> List[Subject]:
    """The base (where it was evaluated), the checkpoint, then every target in the given order."""
    first = [BASE] if input_name("evaluation", BASE) in inputs else []
    return [_read_subject(inputs, name) for name in [*first, CHECKPOINT, *targets]]


def read_evidence(subject: Subject, annotations: Path, resample: bool) -> Optional[Evidence]:
    """What the gates may know of a subject, or None where it has no evaluation.

    ``annotations`` is the validation set's COCO file; ``resample`` asks for the interval of AP50.
    """
    if subject.evaluation is None or not subject.metrics:
        return None
    interval = None
    predictions = read_json(subject.evaluation, "predictions.json")
    if resample and isinstance(predictions, list):
        interval = ap50_interval(annotations, predictions)
    return Evidence(
        subject=str(subject.metrics.get("subject")),
        figures=subject.metrics.get("figures", {}),
        pictures=subject.metrics.get("pictures", 0),
        detections=subject.metrics.get("detections", 0),
        interval=interval,
    )


def read_json(folder: Optional[Path], name: str) -> Any:
    """The content of a JSON file, or an empty mapping where there is no such file."""
    if folder is None or not (folder / name).is_file():
        return {}
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _read_subject(inputs: Mapping[str, Path], name: str) -> Subject:
    evaluation = inputs.get(input_name("evaluation", name))

    def read(artifact: str, file: str) -> Dict[str, Any]:
        return dict(read_json(inputs.get(input_name(artifact, name)), file))

    return Subject(
        name=name,
        evaluation=evaluation,
        metrics=read("evaluation", "metrics.json"),
        profile=read("profile", "profile.json"),
        passport=read("engine", "passport.json"),
        proof=read("proof", "proof.json"),
    )
