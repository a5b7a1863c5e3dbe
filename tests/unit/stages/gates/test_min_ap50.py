import math

import pytest
from measured import evaluated, measured

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS, GateResult
from mmdet_jetson.stages.gates.measured import Case, EvaluatedSubject, Interval
from mmdet_jetson.stages.gates.min_ap50 import judge


def judged(engine: EvaluatedSubject | None) -> GateResult:
    _, result = judge(Case("min_AP50", 0.6, measured(evaluated("checkpoint"), pc=engine)))
    return result


def test_the_sentence_holds_figure_interval_and_limit() -> None:
    assert judged(evaluated()) == GateResult(
        name="min_AP50:pc",
        outcome=PASS,
        measured=0.9,
        limit=0.6,
        sentence="AP50 of the engine for pc is 0.900 (95% interval 0.850 to 0.950 over "
        "20 pictures), at least 0.600.",
    )


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        (Interval(0.62, 0.60, 0.70), PASS),
        (Interval(0.62, 0.55, 0.70), INCONCLUSIVE),
        (Interval(0.62, 0.50, 0.61), INCONCLUSIVE),
        (Interval(0.90, 0.85, 0.95), FAIL),
        (Interval(math.nan, math.nan, math.nan), FAIL),
        (None, INCONCLUSIVE),
    ],
    ids=["above", "holds-limit", "point-outside", "other-predictions", "nan", "too-few"],
)
def test_over_the_limit_needs_an_interval_over_the_limit(
    interval: Interval | None, outcome: str
) -> None:
    assert judged(evaluated(figures={"AP50": 0.62}, interval=interval)).outcome == outcome


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        (Interval(0.58, 0.50, 0.59), FAIL),
        (Interval(0.58, 0.50, 0.60), INCONCLUSIVE),
        (Interval(0.58, 0.61, 0.70), INCONCLUSIVE),
    ],
    ids=["below", "holds-limit", "point-outside"],
)
def test_under_the_limit_needs_an_interval_under_the_limit(
    interval: Interval, outcome: str
) -> None:
    assert judged(evaluated(figures={"AP50": 0.58}, interval=interval)).outcome == outcome


def test_an_evaluation_that_proves_nothing_fails() -> None:
    result = judged(evaluated(figures={"AP50": None}))
    assert (result.outcome, result.measured) == (FAIL, None)
    assert result.sentence.startswith("AP50 of the engine for pc is missing")
