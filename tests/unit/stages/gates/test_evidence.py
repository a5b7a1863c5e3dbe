"""Every way in which an evaluation can be missing or wrong, so that it proves nothing."""

import math

import pytest
from measured import evidence, measured

from mmdet_jetson.stages.gates.evidence import Evidence, UnusableEvidenceError

UNUSABLE = {
    "absent": (None, "There is no evaluation of the engine for pc."),
    "nan": (evidence(figures={"AP": math.nan}), "AP of the engine for pc is missing or not"),
    "null": (evidence(figures={"AP": None}), "AP of the engine for pc is missing or not"),
    "negative": (evidence(figures={"AP": -1}), "AP of the engine for pc is missing or not"),
    "over-one": (evidence(figures={"AP": 1.01}), "AP of the engine for pc is missing or not"),
    "infinite": (evidence(figures={"AP": math.inf}), "AP of the engine for pc is missing or not"),
    "swapped": (evidence("checkpoint"), "given for the engine for pc is one of the checkpoint."),
    "base": (evidence("base"), "given for the engine for pc is one of the base."),
    "other-pictures": (evidence(pictures=19), "covers 19 pictures, but the validation set has 20."),
    "no-pictures": (evidence(pictures=0), "covers 0 pictures, but the validation set has 20."),
    "no-detections": (evidence(detections=0), "of the engine for pc contains no detections."),
}


@pytest.mark.parametrize(("engine", "sentence"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_evidence_that_proves_nothing_has_no_figure(engine: Evidence | None, sentence: str) -> None:
    with pytest.raises(UnusableEvidenceError, match=sentence):
        measured(None, pc=engine).figure("pc", "AP")


def test_a_figure_that_was_not_measured_is_missing() -> None:
    with pytest.raises(UnusableEvidenceError, match="AP_large of the checkpoint is missing"):
        measured(evidence("checkpoint")).figure("checkpoint", "AP_large")


def test_an_empty_validation_set_proves_nothing() -> None:
    with pytest.raises(UnusableEvidenceError, match="covers 0 pictures"):
        measured(evidence("checkpoint", pictures=0), pictures=0).figure("checkpoint", "AP")


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_good_evidence_has_its_figure(value: float) -> None:
    run = measured(None, pc=evidence(figures={"AP": value}))
    assert run.figure("pc", "AP") == value
