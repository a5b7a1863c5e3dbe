"""Which score to believe from: what ``thresholds.json`` beside an engine says, or a usual one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping

from mmdet_jetson.contract.analysis import THRESHOLDS, OperatingPoint, Thresholds
from mmdet_jetson.contract.records import ContractError, read_record
from mmdet_jetson.stages.errors import StageError

USUAL = 0.3


@dataclass(frozen=True)
class Threshold:
    """A score from 0 to 1, for all classes and for those that have one of their own, and why."""

    score: float
    reason: str
    per_class: Mapping[str, float]
    figures: str = ""

    def sentence(self, chosen: bool = False) -> str:
        """Say which one it is; ``chosen`` says that every class has its own."""
        if not chosen:
            return f"threshold {self.score:.7g}: {self.reason}{self.figures}"
        each = ", ".join(f"{name} {score:.7g}" for name, score in self.per_class.items())
        return f"thresholds {each}: {self.reason}, class by class"


def threshold_of(folder: Path) -> Threshold:
    """Give the threshold for the engine in ``folder``.

    Raises:
        StageError: there is a file with one, and it is damaged.
    """
    path = folder / THRESHOLDS
    try:
        said = read_record(path, Thresholds)
    except FileNotFoundError:
        return Threshold(USUAL, f"there is no {THRESHOLDS} beside the engine", {})
    except (OSError, ContractError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _damaged(path, f"{reason}") from error
    for point in [said.deploy, *said.per_class.values()]:
        if not 0 <= point.threshold <= 1:
            raise _damaged(path, f"{point.threshold} is no score from 0 to 1")
    of_classes = {name: point.threshold for name, point in said.per_class.items()}
    return Threshold(said.deploy.threshold, said.reason, of_classes, _figures(said.deploy))


def of_each_class(threshold: Threshold, classes: List[str]) -> Threshold:
    """Give every class a threshold: its own, or the common one.

    Raises:
        StageError: no class has its own, or one is none of the engine's.
    """
    strangers = [name for name in threshold.per_class if name not in classes]
    if strangers or not threshold.per_class:
        raise StageError(
            f"{THRESHOLDS} beside the engine has a threshold for {strangers[0]}, which is no class "
            "of the engine"
            if strangers
            else "--per-class: there are no thresholds for single classes beside the engine",
            "check the engine out again with its evaluation, or give one --threshold for all",
        )
    every: Dict[str, float] = {n: threshold.per_class.get(n, threshold.score) for n in classes}
    return Threshold(threshold.score, threshold.reason, every)


def _figures(point: OperatingPoint) -> str:
    figures = {"precision": point.precision, "recall": point.recall}
    told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if value is not None)
    return f" ({told})" if told else ""


def _damaged(path: Path, reason: str) -> StageError:
    return StageError(
        f"{path} is damaged: {reason}",
        "remove it, or check the engine out again; --threshold SCORE does without it",
    )
