"""What an evaluation has analysed, by subject, and which subject the page looks into."""

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence

from mmdet_jetson.contract.analysis import Analysis
from mmdet_jetson.contract.report import BASE, CHECKPOINT
from mmdet_jetson.stages.reporting.page_text import count
from mmdet_jetson.stages.reporting.subjects import Subject

MISSING = (
    "Score thresholds, curves, errors by type and pictures that went worst are not shown: these "
    "evaluations come from an earlier release, which did not analyse them. `invoke evaluate` "
    "makes them again where they were made, and the report after it shows all of this."
)


@dataclass(frozen=True)
class Analysed:
    """A subject whose evaluation has an analysis, which lies in ``folder``."""

    subject: Subject
    analysis: Analysis
    folder: Path

    @property
    def title(self) -> str:
        """What a sentence calls it."""
        return f"the engine {self.subject.title}" if self.subject.is_engine else "the checkpoint"

    @property
    def pictures(self) -> str:
        """How many pictures it was evaluated on."""
        return count(len(self.analysis.pictures), "validation picture")


def all_analysed(subjects: Sequence[Subject]) -> List[Analysed]:
    """Those of the subjects that have an analysis, in their order; never the base."""
    return [
        Analysed(each, each.analysis, each.evaluation)
        for each in subjects
        if each.analysis and each.evaluation and each.name != BASE
    ]


def looked_into(analysed: Sequence[Analysed]) -> Optional[Analysed]:
    """What is deployed: the first target's engine, or the checkpoint where no engine has any."""
    engines = [each for each in analysed if each.subject.is_engine]
    others = [each for each in analysed if each.subject.name == CHECKPOINT]
    return next(iter([*engines, *others]), None)
