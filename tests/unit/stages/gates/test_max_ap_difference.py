import pytest
from measured import evaluated, measured

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS, GateResult
from mmdet_jetson.stages.gates.max_ap_difference import judge
from mmdet_jetson.stages.gates.measured import Case, EvaluatedSubject


def judged(checkpoint: EvaluatedSubject | None, engine: EvaluatedSubject | None) -> GateResult:
    (result,) = judge(Case("max_AP_difference", 0.002, measured(checkpoint, pc=engine)))
    return result


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (0.5, 0.4985, PASS),
        (0.5, 0.49, FAIL),
        (0.5, 0.51, FAIL),
        (0.0, 0.0, INCONCLUSIVE),
        (0.002, 0.001, INCONCLUSIVE),
        (0.002, 0.01, FAIL),
    ],
    ids=["near", "drop", "rise", "zero", "too-low-to-drop", "low-but-apart"],
)
def test_the_plain_difference_decides(before: float, after: float, outcome: str) -> None:
    checkpoint = evaluated("checkpoint", figures={"AP": before})
    result = judged(checkpoint, evaluated(figures={"AP": after}))
    assert result.outcome == outcome
    assert result.measured == pytest.approx(abs(before - after))


def test_the_sentence_holds_both_figures_and_the_limit() -> None:
    checkpoint = evaluated("checkpoint", figures={"AP": 0.5})
    assert judged(checkpoint, evaluated(figures={"AP": 0.51})).sentence == (
        "AP of the engine for pc is 0.5100 and of the checkpoint 0.5000: "
        "they differ by 0.0100, more than 0.0020."
    )


def test_either_evaluation_that_proves_nothing_fails() -> None:
    assert judged(None, evaluated()).sentence == "There is no evaluation of the checkpoint."
    assert judged(evaluated("checkpoint"), None).sentence == (
        "There is no evaluation of the engine for pc."
    )
    assert (
        judged(None, evaluated()).outcome == judged(evaluated("checkpoint"), None).outcome == FAIL
    )
