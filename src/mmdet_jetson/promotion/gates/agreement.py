"""``agreement``: an engine detects what PyTorch detects, within the tolerances of its precision.

Far more sensitive than AP on few pictures: it compares detections, not how many are right. What a
proof claims is added up anew, and one that was made with wider tolerances than the policy's shows
nothing.
"""

from collections.abc import Iterator
from functools import partial

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.evidence import Case, Unusable, title
from mmdet_jetson.promotion.proofs import Proof
from mmdet_jetson.promotion.verdicts import Judged

NAME = "agreement"


def judge(case: Case) -> Iterator[Judged]:
    """Judge the engine of each target, but one without a proof that `accuracy` judges."""
    for target in case.targets:
        if not (case.policy.accuracy and case.is_documented(target)):
            yield case.judged(NAME, target, partial(_judge, case, target))


def _judge(case: Case, target: str) -> Judged:
    if case.is_documented(target):
        raise Unusable(
            INCONCLUSIVE,
            f"The engine for {target} is made from MMDeploy's own graph, which has no proof: "
            "state [accuracy] in the policy, or build it from the fused graph.",
        )
    allowed = case.policy.tolerances(case.precision(target))
    if allowed is None:
        raise Unusable(FAIL, f"The passport of {title(target)} states no precision that is known.")
    proof = case.proof(target)
    _refuse_wider(proof, allowed, target)
    pairs = proof.pairs
    if not (pairs.matched or pairs.off or pairs.missing or pairs.extra):
        raise Unusable(
            FAIL, "The proof compares nothing: neither side detects anything. Train for longer."
        )
    differs = (
        f" The networks of the two graphs differ: {proof.differences[0]}."
        if (proof.differences)
        else ""
    )
    passes = pairs.matched > 0 and pairs.alone <= allowed.alone and not differs
    return Judged(
        gate=NAME,
        outcome=PASS if passes else FAIL,
        sentence=_sentence(proof, allowed, target) + differs,
        measured=100 * pairs.alone,
        limit=100 * allowed.alone,
        unit="%",
    )


def _refuse_wider(proof: Proof, allowed: Tolerances, target: str) -> None:
    """A pair within narrower tolerances is one within these; within wider ones nothing is known."""
    made = proof.tolerances
    for name in ("from_score", "box", "score"):
        stated, most = getattr(made, name), getattr(allowed, name)
        if not stated <= most:  # nan is wider than anything
            raise Unusable(
                INCONCLUSIVE,
                f"The proof of {title(target)} was made with {name} {stated:g}, and the policy "
                f"allows {most:g}: change [gates.proof] of the pipeline, or [agreement].",
            )


def _sentence(proof: Proof, allowed: Tolerances, target: str) -> str:
    pairs = proof.pairs
    return (
        f"{100 * pairs.alone:.3g}% of the detections of {title(target)} or of PyTorch have no "
        f"partner in the other ({pairs.missing} missing, {pairs.extra} extra, {pairs.off} too far "
        f"apart, {pairs.matched} within); {100 * allowed.alone:g}% may."
    )
