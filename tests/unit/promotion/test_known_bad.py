"""Known-bad bundles: each is rejected by the right gate, which says why."""

import pytest
from bad_bundles import BAD
from proven_releases import ProvenRun, case

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.gates import GATES
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.policy import GATE_NAMES, NEVER_OVERRIDDEN
from mmdet_jetson.promotion.verdicts import Verdict


def verdict(run: ProvenRun) -> Verdict:
    return judge(case(run.bundle()), 0)


def test_the_good_one_passes_every_gate(run: ProvenRun) -> None:
    found = verdict(run)

    assert [each.sentence for each in found.gates if each.outcome != PASS] == []
    assert {each.gate for each in found.gates} == set(GATE_NAMES)
    assert found.outcome == PASS


def test_gates_judge_in_the_order_of_their_names() -> None:
    assert tuple(GATES) == GATE_NAMES


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_rejected_by_its_gate(name: str, run: ProvenRun) -> None:
    bad = BAD[name]

    found = judge(case(bad.bundle(run)), 0)

    said = [each for each in found.gates if each.gate == bad.gate and each.outcome == bad.outcome]
    assert any(bad.says in each.sentence for each in said), [
        (each.name, each.outcome, each.sentence) for each in found.gates if each.outcome != PASS
    ]
    assert found.outcome in (FAIL, INCONCLUSIVE)
    # What is whole and belongs together is not refused as if it were not.
    basic = {each.gate for each in found.gates if each.outcome != PASS} & NEVER_OVERRIDDEN
    assert basic <= {bad.gate} or name == "no-passport"  # evidence is about the engine with one
