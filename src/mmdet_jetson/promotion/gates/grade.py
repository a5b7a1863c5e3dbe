"""``grade``: evidence was taken as near to its target as the policy demands.

An artifact says its grade in the file that it made, and but for proofs in its provenance, too. The
lower counts.
"""

from collections.abc import Iterator
from functools import partial
from typing import get_args

from mmdet_jetson.bundles.contents import EVALUATION, PROFILE, PROOF, PartName
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE
from mmdet_jetson.promotion.evidence import Case, Unusable, graded
from mmdet_jetson.promotion.policy import Grade
from mmdet_jetson.promotion.verdicts import Judged

NAME = "grade"
GRADES: tuple[str, ...] = get_args(Grade)
FILES = {EVALUATION: "metrics.json", PROOF: "proof.json", PROFILE: "profile.json"}
STAND_IN = "stand-in base"


def judge(case: Case) -> Iterator[Judged]:
    """Judge the evidence of the checkpoint, and that of each target's engine."""
    for subject in case.subjects:
        yield case.judged(NAME, subject, partial(_judge, case, subject))


def _judge(case: Case, subject: str) -> Judged:
    of_this = [part for part in graded(case) if part.subject == subject]
    if not of_this:
        raise Unusable(INCONCLUSIVE, "There is no evidence of it.")
    asked = case.policy.evidence
    for part in of_this:
        said, grade = min(_grades(case, part), key=lambda each: _rank(each[1]))
        if _rank(grade) < _rank(asked):
            raise Unusable(
                FAIL,
                f"The {part.kind} is {said or 'of no grade'}, and {case.channel} takes {asked} "
                "evidence" + (" only." if asked == GRADES[0] else " or better."),
            )
    return case.passed(NAME, f"All of its evidence is {asked}{_or_better(asked)}.")


def _grades(case: Case, part: PartName) -> Iterator[tuple[str, str]]:
    """What a piece of evidence says of itself, as it says it, and which grade that is."""
    artifact = case.contents.parts[part]
    told = case.contents.document(artifact, FILES[part.kind])
    yield _said(told.get("evidence") if isinstance(told, dict) else None)
    if (grade := artifact.provenance.parameters.get("evidence")) is not None:
        yield _said(grade)


def _said(grade: object) -> tuple[str, str]:
    return str(grade or ""), grade_of(grade)


def grade_of(said: object) -> str:
    """The grade of what a runtime says, such as "emulated, stand-in base"; "" for anything else."""
    first, *more = str(said).split(", ")
    if first not in GRADES or (more and more != [STAND_IN]):
        return ""
    return GRADES[-1] if more else first


def _rank(grade: str) -> int:
    """Higher is better; no grade is the lowest."""
    return len(GRADES) - GRADES.index(grade) if grade in GRADES else 0


def _or_better(asked: str) -> str:
    return "" if asked == GRADES[0] else " or better"
