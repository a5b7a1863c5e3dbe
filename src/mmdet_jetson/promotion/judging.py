"""A case is judged: every gate of its policy, whatever the others say."""

from collections.abc import Iterator

import msgspec

from mmdet_jetson.contract.report import FAIL
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.gates import GATES, Gate
from mmdet_jetson.promotion.support import no_longer_supported
from mmdet_jetson.promotion.verdicts import Judged, Verdict


def judge(case: Case, judged_before: int) -> Verdict:
    """Judge a case; ``judged_before`` is how many other bundles its pictures have judged.

    The same case has the same verdict: what a policy allows to grow old is the only thing that
    depends on when it is judged.
    """
    bundle, incumbent = case.contents.bundle, case.incumbent
    return Verdict(
        bundle=bundle.digest if bundle else "",
        channel=case.channel,
        policy=msgspec.json.decode(msgspec.json.encode(case.policy)),  # as it is read again
        policy_digest=case.policy.digest,
        incumbent=incumbent.bundle if incumbent else "",
        validation=_validation(case),
        judged_before=judged_before,
        gates=tuple(said for name, gate in GATES.items() for said in _said(name, gate, case)),
        named=tuple(no_longer_supported(case.contents)),
    )


def _said(name: str, gate: Gate, case: Case) -> Iterator[Judged]:
    """What a gate says; a damaged file that it stumbles over is a failure, and no crash."""
    try:
        yield from gate(case)
    except UserError as error:
        yield Judged(gate=name, outcome=FAIL, sentence=f"{error.message}.")


def _validation(case: Case) -> str:
    """The digest of the validation pictures; gates say what is wrong with them."""
    try:
        return case.validation
    except UserError:
        return ""
