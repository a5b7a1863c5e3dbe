"""``proof``: each engine detects what the checkpoint detects in PyTorch, within its tolerances.

Both ran over the same pictures, and no claim is made about others, so the gate is never
inconclusive. A proof that is missing, of something else or of no detection fails, and so do
networks of the two graphs that differ, whatever they detect.
"""

from typing import List, Optional

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.report import FAIL, PASS, GateResult
from mmdet_jetson.stages.gates.measured import Case, UnusableEvaluationError, title
from mmdet_jetson.stages.plain_numbers import plain
from mmdet_jetson.stages.proving.deviation import Deviation
from mmdet_jetson.stages.proving.proof import ENGINE, NetworkComparison, Proof


def judge(case: Case) -> List[GateResult]:
    """Judge the engine of each target that has to be proven."""
    return [_judge(case, target, stated) for target, stated in case.tolerances.items()]


def _judge(case: Case, target: str, stated: Tolerances) -> GateResult:
    name, proof = f"{case.gate}:{target}", case.measured.proofs.get(target)
    try:
        proof = _checked(proof, target, stated, case.measured.pictures)
        found = _deviation(proof)
    except UnusableEvaluationError as reason:
        return GateResult(name, FAIL, None, stated.alone, str(reason))
    differs = _network(proof.network)
    outcome = PASS if _agree(found, stated) and not differs else FAIL
    sentence = _detections(found, target, stated) + differs
    return GateResult(name, outcome, found.alone, stated.alone, sentence)


def _checked(proof: Optional[Proof], target: str, stated: Tolerances, pictures: int) -> Proof:
    """Refuse a proof that is not of this engine, these tolerances and these pictures."""
    who = title(target)
    if proof is None:
        raise UnusableEvaluationError(f"There is no proof of {who}.")
    if proof.target != target:
        raise UnusableEvaluationError(f"The proof given for {who} is of {title(proof.target)}.")
    if proof.tolerances != stated:
        raise UnusableEvaluationError(
            f"The proof of {who} was made with other tolerances than those that are stated."
        )
    if proof.pictures != pictures or pictures < 1:
        raise UnusableEvaluationError(
            f"The proof of {who} covers {proof.pictures} pictures, "
            f"but the validation set has {pictures}."
        )
    return proof


def _deviation(proof: Proof) -> Deviation:
    """Give how the engine deviates, if it was compared with anything."""
    who, model = title(proof.target), proof.models.get(ENGINE)
    if model is None or model.deviation is None:
        raise UnusableEvaluationError(f"The proof of {who} compares no engine.")
    found = model.deviation
    if not (found.matched or found.off or found.missing or found.extra):
        raise UnusableEvaluationError(
            f"The proof of {who} compares nothing: neither it nor the checkpoint detects anything. "
            "Train for longer."
        )
    return found


def _detections(found: Deviation, target: str, stated: Tolerances) -> str:
    """Tell whether an engine detects what the checkpoint detects, and how their detections pair."""
    who = title(target)
    verb = "detects" if _agree(found, stated) else "does not detect"
    return (
        f"{who[0].upper()}{who[1:]} {verb} what the checkpoint detects in PyTorch: of the "
        f"detections with a score of {plain(stated.from_score)} or more, {found.matched} agree, "
        f"within {plain(100 * stated.box)}% of the picture's longer side and "
        f"{plain(stated.score)} of score; {found.missing} missing, {found.extra} extra, "
        f"{found.off} beyond that ({plain(100 * found.alone)}%, where {plain(100 * stated.alone)}% "
        f"may be); the farthest apart differ by {plain(100 * found.box)}% and "
        f"{plain(found.score)}."
    )


def _agree(found: Deviation, stated: Tolerances) -> bool:
    """Whether there is a pair at all, and no more without a partner than may be."""
    return found.matched > 0 and found.alone <= stated.alone


def _network(compared: Optional[NetworkComparison]) -> str:
    """Say what differs between the networks, if anything does."""
    if compared is None or not compared.differences:
        return ""
    first = compared.differences[0]
    return f" The networks in its graph and in the documented one differ: {first}."
