"""``parts``: everything that the other gates judge is there, whole, and of all validation pictures.

Nobody may override it: a bundle without its engine, or with a truncated evaluation, is none.
"""

from collections.abc import Iterator
from functools import partial

import msgspec

from mmdet_jetson.bundles.contents import CHECKPOINT, ENGINE, EVALUATION, ONNX, PROOF
from mmdet_jetson.contract.report import CHECKPOINT as TRAINED
from mmdet_jetson.contract.report import FAIL, PASS
from mmdet_jetson.promotion.evidence import Case, Unusable
from mmdet_jetson.promotion.verdicts import Judged

NAME = "parts"
FILES = {CHECKPOINT: ("best.pth", "config.py"), ENGINE: ("passport.json", "graph.json")}


def judge(case: Case) -> Iterator[Judged]:
    """Judge the checkpoint, and each target."""
    for subject in case.subjects:
        said = case.judged(NAME, subject, partial(_judge, case, subject))
        # Here what is missing is the answer: no later measurement would change this bundle.
        yield msgspec.structs.replace(said, outcome=PASS if said.outcome == PASS else FAIL)


def _judge(case: Case, subject: str) -> Judged:
    if subject == TRAINED:
        _require(case, CHECKPOINT)
    else:
        case.part(ONNX, subject)
        _require(case, ENGINE, subject)
        if not case.is_documented(subject):
            case.part(PROOF, subject)
    case.part(EVALUATION, subject)
    case.matches(subject)
    pictures = len(case.pictures.names)
    return case.passed(NAME, f"All that is judged is there, over all {pictures} pictures.")


def _require(case: Case, kind: str, subject: str = "") -> None:
    """Ask for a part with the files that make it one."""
    part = case.part(kind, subject)
    if missing := [file for file in FILES[kind] if file not in part.titles]:
        raise Unusable(FAIL, f"The {kind} {subject}".strip() + f" has no {missing[0]}.")
