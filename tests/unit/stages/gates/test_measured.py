"""Every way in which an evaluation can be missing or wrong, so that it proves nothing."""

import math

import pytest
from measured import evaluated, measured

from mmdet_jetson.stages.gates.measured import EvaluatedSubject, UnusableEvaluationError

UNUSABLE = {
    "absent": (None, "There is no evaluation of the engine for pc."),
    "nan": (evaluated(figures={"AP": math.nan}), "AP of the engine for pc is missing or not"),
    "null": (evaluated(figures={"AP": None}), "AP of the engine for pc is missing or not"),
    "negative": (evaluated(figures={"AP": -1}), "AP of the engine for pc is missing or not"),
    "over-one": (evaluated(figures={"AP": 1.01}), "AP of the engine for pc is missing or not"),
    "infinite": (evaluated(figures={"AP": math.inf}), "AP of the engine for pc is missing or not"),
    "swapped": (evaluated("checkpoint"), "given for the engine for pc is one of the checkpoint."),
    "base": (evaluated("base"), "given for the engine for pc is one of the base."),
    "other-pictures": (
        evaluated(pictures=19),
        "covers 19 pictures, but the validation set has 20.",
    ),
    "no-pictures": (evaluated(pictures=0), "covers 0 pictures, but the validation set has 20."),
    "no-detections": (evaluated(detections=0), "of the engine for pc contains no detections."),
}


@pytest.mark.parametrize(("engine", "sentence"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_evaluation_that_proves_nothing_has_no_figure(
    engine: EvaluatedSubject | None, sentence: str
) -> None:
    with pytest.raises(UnusableEvaluationError, match=sentence):
        measured(None, pc=engine).figure("pc", "AP")


def test_a_figure_that_was_not_measured_is_missing() -> None:
    with pytest.raises(UnusableEvaluationError, match="AP_large of the checkpoint is missing"):
        measured(evaluated("checkpoint")).figure("checkpoint", "AP_large")


def test_an_empty_validation_set_proves_nothing() -> None:
    with pytest.raises(UnusableEvaluationError, match="covers 0 pictures"):
        measured(evaluated("checkpoint", pictures=0), pictures=0).figure("checkpoint", "AP")


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_a_good_evaluation_has_its_figure(value: float) -> None:
    run = measured(None, pc=evaluated(figures={"AP": value}))
    assert run.figure("pc", "AP") == value
