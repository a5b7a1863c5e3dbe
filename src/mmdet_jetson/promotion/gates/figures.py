"""``figures``: the checkpoint and every engine reach the figures that the policy states.

As they were measured on the validation pictures, so no claim is made about others. They are
computed from what was matched; figures that say something else beside it are refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import isclose

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.accuracy import (
    AP50,
    Matches,
    average_precision,
    average_precision_at,
    found_from,
    precision_of_classes,
)
from mmdet_jetson.promotion.compared import DIGITS
from mmdet_jetson.promotion.evidence import Case, Unusable, title
from mmdet_jetson.promotion.policy import AtScore, Figures
from mmdet_jetson.promotion.verdicts import Judged

NAME = "figures"
SAME = 1e-6
"""What a figure may differ from that of pycocotools, which adds in another order."""


@dataclass(frozen=True)
class _Figure:
    """A figure and the least that it may be, both from 0 to 1."""

    name: str
    value: float
    least: float

    @property
    def over(self) -> float:
        return round(self.value, DIGITS) - self.least

    def __str__(self) -> str:
        than = "at least" if self.over >= 0 else "below"
        return f"{self.name} is {self.value:.4f}, {than} {self.least:g}"


def judge(case: Case) -> Iterator[Judged]:
    """Judge the checkpoint, then the engine of each target, where the policy states a figure."""
    stated = case.policy.figures
    if stated and stated != Figures():
        for subject in case.subjects:
            yield case.judged(NAME, subject, partial(_judge, case, subject, stated))


def _judge(case: Case, subject: str, stated: Figures) -> Judged:
    matches, metrics = case.matches(subject), case.metrics(subject)
    figures = list(_figures(matches, stated))
    said = {
        **{f"AP of {name}": each for name, each in metrics.per_class.items()},
        **metrics.figures,
    }
    for each in figures:
        of_coco = said.get(each.name, each.value)
        if of_coco is None or not isclose(each.value, of_coco, rel_tol=0, abs_tol=SAME):
            raise Unusable(
                FAIL,
                f"The evaluation of {title(subject)} is damaged: its matches give {each.name} "
                f"{each.value:.6f}, and metrics.json has {of_coco}.",
            )
    worst = min(figures, key=lambda figure: figure.over)
    return Judged(
        gate=NAME,
        outcome=PASS if worst.over >= 0 else FAIL,
        sentence=f"Of {title(subject)}, {'; '.join(map(str, figures))}.",
        measured=round(worst.value, DIGITS),
        limit=worst.least,
        unit=worst.name,
    )


def _figures(matches: Matches, stated: Figures) -> Iterator[_Figure]:
    """All that is asked for.

    Raises:
        Unusable: it cannot be told from these pictures.
    """
    if stated.ap is not None:
        yield _Figure("AP", _known("AP", average_precision(matches)), stated.ap)
    if stated.ap50 is not None:
        yield _Figure("AP50", _known("AP50", average_precision_at(matches, AP50)), stated.ap50)
    per_class = precision_of_classes(matches) if stated.per_class else {}
    for name, least in stated.per_class.items():
        if name not in per_class:
            raise Unusable(
                FAIL,
                f"[figures] of the policy states one for the class {name!r}, which the dataset "
                f"does not have; it has {', '.join(per_class)}.",
            )
        yield _Figure(f"AP of {name}", _known(f"AP of {name}", per_class[name]), least)
    if stated.at_score:
        yield from _at_score(matches, stated.at_score)


def _known(name: str, value: float | None) -> float:
    if value is None:
        raise Unusable(
            INCONCLUSIVE, f"{name} cannot be told: no validation picture has such an object."
        )
    return value


def _at_score(matches: Matches, stated: AtScore) -> Iterator[_Figure]:
    """What is found from a score on, and how much of it is there: of all classes together."""
    right, wrong = found_from(matches, stated.score)
    objects = int(matches.objects.sum())
    if stated.recall is not None:
        name = f"recall from a score of {stated.score:g} on"
        yield _Figure(name, _known(name, right / objects if objects else None), stated.recall)
    if stated.precision is not None:
        name = f"precision from a score of {stated.score:g} on"
        # Where nothing is detected, nothing is right either.
        value = right / (right + wrong) if right + wrong else 0.0
        yield _Figure(name, value, stated.precision)
