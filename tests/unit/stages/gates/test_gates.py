"""What all gates together say, and that none of them passes on nothing."""

from pathlib import Path

import pytest
from measured import FP32, evaluated, measured, proven

from mmdet_jetson.contract.gates import GATES, PROOF
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS, GateResult
from mmdet_jetson.stages import gates
from mmdet_jetson.stages.gates import judge, load_gate, verdict
from mmdet_jetson.stages.gates.measured import Case, Measured

LIMITS = {"min_AP50": 0.6, "max_AP_difference": 0.002}
PROVEN = {"pc": FP32, "orin": FP32}
GOOD = measured(
    evaluated("checkpoint"),
    proofs={name: proven(name) for name in PROVEN},
    pc=evaluated(),
    orin=evaluated(),
)


def outcomes(run: Measured) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in judge(LIMITS, {}, run)}


def test_good_evidence_passes_every_gate() -> None:
    results = judge(LIMITS, PROVEN, GOOD)
    assert [gate.name for gate in results] == [
        "proof:pc",
        "proof:orin",
        "min_AP50:checkpoint",
        "min_AP50:pc",
        "min_AP50:orin",
        "max_AP_difference:pc",
        "max_AP_difference:orin",
    ]
    assert {gate.outcome for gate in results} == {PASS}
    assert verdict(results) == PASS


def test_gates_are_judged_in_one_order_whatever_that_of_their_limits() -> None:
    backwards = dict(reversed(LIMITS.items()))
    assert judge(backwards, PROVEN, GOOD) == judge(LIMITS, PROVEN, GOOD)


def test_every_module_is_registered_and_every_gate_has_one() -> None:
    modules = {path.stem for path in Path(gates.__file__).parent.glob("*.py")}
    assert modules == {"__init__", "measured", *GATES.values()}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize(
    "run",
    [measured(None), measured(None, pc=None), measured(None, pictures=0, pc=None)],
    ids=["no-engine", "no-evaluation", "no-pictures"],
)
def test_no_gate_passes_on_nothing(name: str, run: Measured) -> None:
    limits, proven = ({}, PROVEN) if name == PROOF else ({name: 0.5}, {})
    results = judge(limits, proven, run)
    assert results
    assert verdict(results) != PASS


@pytest.mark.parametrize("name", GATES)
def test_every_gate_names_its_results_after_itself(name: str) -> None:
    results = load_gate(name).judge(Case(name, 0.5, GOOD, PROVEN))
    assert results
    for result in results:
        assert result.name.partition(":")[0] == name
        assert result.limit == (FP32.alone if name == PROOF else 0.5)
        assert result.outcome in {PASS, FAIL, INCONCLUSIVE}
        assert result.sentence.endswith(".")


def test_checkpoint_and_engine_swapped_fail_everything() -> None:
    run = measured(evaluated("engine"), pc=evaluated("checkpoint"))
    assert set(outcomes(run).values()) == {FAIL}


def test_a_missing_checkpoint_fails_the_difference_of_a_good_engine() -> None:
    assert outcomes(measured(None, pc=evaluated())) == {
        "min_AP50:checkpoint": FAIL,
        "min_AP50:pc": PASS,
        "max_AP_difference:pc": FAIL,
    }


def test_a_gate_without_a_limit_is_not_judged() -> None:
    results = judge({"max_AP_difference": 0.002}, {}, measured(None, pc=None))
    assert {gate.name: gate.outcome for gate in results} == {"max_AP_difference:pc": FAIL}
    assert judge({}, {}, GOOD) == []


def test_an_engine_that_has_to_be_proven_is_judged_without_a_limit() -> None:
    run = measured(evaluated("checkpoint"), pc=evaluated())
    assert {gate.name: gate.outcome for gate in judge({}, {"pc": FP32}, run)} == {"proof:pc": FAIL}


def test_a_gate_that_judges_nothing_is_inconclusive() -> None:
    results = judge({"max_AP_difference": 0.002}, {}, measured(evaluated("checkpoint")))
    assert [(gate.name, gate.outcome) for gate in results] == [("max_AP_difference", INCONCLUSIVE)]


def test_a_gate_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="min_AP5"):
        judge({"min_AP5": 0.6}, {}, GOOD)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([PASS, PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, FAIL, PASS], FAIL),
        (["passed"], INCONCLUSIVE),
        ([], INCONCLUSIVE),
    ],
)
def test_verdict(given: list[str], expected: str) -> None:
    assert verdict([GateResult("gate", outcome, None, 0.0, "") for outcome in given]) == expected
