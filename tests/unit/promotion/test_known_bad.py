"""Known-bad bundles: each is rejected by the right gate, which says why."""

import pytest
from bad_bundles import BAD
from proven_releases import ProvenRun, case

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.gates import GATES
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.policy import GATE_NAMES
from mmdet_jetson.promotion.verdicts import Verdict


def verdict(run: ProvenRun) -> Verdict:
    return judge(case(run.bundle()), 0)


def test_the_good_one_passes_every_gate(run: ProvenRun) -> None:
    found = verdict(run)

    assert [each.sentence for each in found.gates if each.outcome != PASS] == []
    assert {each.gate for each in found.gates} == set(GATES)
    assert found.outcome == PASS


def test_gates_judge_in_the_order_of_their_names() -> None:
    assert list(GATES) == [name for name in GATE_NAMES if name in GATES]


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if bad.gate in GATES])
def test_a_bad_one_is_rejected_by_its_gate(name: str, run: ProvenRun) -> None:
    bad = BAD[name]

    found = judge(case(bad.bundle(run)), 0)

    said = [each for each in found.gates if each.gate == bad.gate and each.outcome == bad.outcome]
    assert any(bad.says in each.sentence for each in said), [
        (each.name, each.outcome, each.sentence) for each in found.gates if each.outcome != PASS
    ]
    assert found.outcome in (FAIL, INCONCLUSIVE)
