"""Whether evidence proves anything: of this, over all of these pictures, and undamaged."""

from collections.abc import Callable
from typing import TypeVar

from mmdet_jetson.contract.matches import MATCHES
from mmdet_jetson.contract.report import CHECKPOINT, FAIL, EvaluationMetrics
from mmdet_jetson.promotion.accuracy import Matches, average_precision
from mmdet_jetson.promotion.proofs import Proof
from mmdet_jetson.promotion.validation import Validation

T = TypeVar("T")
SAME_AP = 1e-6
"""What AP of the matches may differ from that of pycocotools, which adds in another order."""


class Unusable(Exception):
    """What keeps a gate from judging: how it counts, and why, as a sentence."""

    def __init__(self, outcome: str, sentence: str) -> None:
        super().__init__(sentence)
        self.outcome, self.sentence = outcome, sentence


def title(subject: str) -> str:
    """What sentences call the checkpoint, or the engine for a target."""
    return "the checkpoint" if subject == CHECKPOINT else f"the engine for {subject}"


def usable(read: Callable[[], T], what: str) -> T:
    """What a function reads.

    Raises:
        Unusable: it cannot be read: it is damaged, or of another version.
    """
    try:
        return read()
    except ValueError as error:
        raise Unusable(FAIL, f"{what} cannot be read: {error}.") from error


def check_metrics(metrics: EvaluationMetrics, subject: str, pictures: Validation) -> None:
    """Refuse figures that are not of all that they should be of.

    Raises:
        Unusable: says what they are of.
    """
    who, there = title(subject), len(pictures.names)
    if metrics.subject != (CHECKPOINT if subject == CHECKPOINT else "engine"):
        raise Unusable(FAIL, f"The evaluation given for {who} is one of the {metrics.subject}.")
    if metrics.pictures != there:
        raise Unusable(
            FAIL,
            f"The evaluation of {who} covers {metrics.pictures} pictures, but the validation set "
            f"has {there}.",
        )
    if metrics.detections < 1:
        raise Unusable(FAIL, f"The evaluation of {who} contains no detections.")
    overall = metrics.figures.get("AP")
    if overall is None or not 0 <= overall <= 1:
        raise Unusable(FAIL, f"AP of {who} is missing or not a number between 0 and 1.")
    if set(metrics.per_class) != set(pictures.classes):
        raise Unusable(FAIL, f"The evaluation of {who} has other classes than the dataset.")


def check_matches(
    matches: Matches, metrics: EvaluationMetrics, subject: str, pictures: Validation
) -> None:
    """Refuse matches that are of something else than the figures beside them, or the dataset.

    Raises:
        Unusable: says what does not fit.
    """
    what, said = f"{MATCHES} of {title(subject)}", metrics.figures.get("AP")
    if (matches.pictures, matches.classes) != (pictures.names, pictures.classes):
        raise Unusable(FAIL, f"{what} is of other pictures or classes than the dataset has.")
    if (matches.objects != pictures.objects).any():
        raise Unusable(FAIL, f"{what} counts other objects than the dataset has annotated.")
    again = average_precision(matches)
    if said is None or again is None or not abs(again - said) <= SAME_AP:
        raise Unusable(
            FAIL,
            f"{what} is damaged: AP of its detections is {again}, and metrics.json has {said}.",
        )


def check_proof(proof: Proof, target: str, pictures: Validation) -> None:
    """Refuse a proof that is not of this engine on all of these pictures.

    Raises:
        Unusable: says what it is of.
    """
    if proof.target != target:
        raise Unusable(FAIL, f"The proof given for {title(target)} is of {title(proof.target)}.")
    there = len(pictures.names)
    if proof.pictures != there or len(proof.compared) != there:
        raise Unusable(
            FAIL,
            f"The proof of {title(target)} covers {min(proof.pictures, len(proof.compared))} "
            f"pictures, but the validation set has {there}.",
        )
    if set(proof.compared) != set(pictures.names):
        raise Unusable(FAIL, f"The proof of {title(target)} is of other pictures.")
