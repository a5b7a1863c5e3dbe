"""``proof`` passes on what it has seen compared, and on nothing else."""

from dataclasses import replace

import pytest
from measured import FP32, evaluated, measured, proven

from mmdet_jetson.contract.gates import Tolerances
from mmdet_jetson.contract.report import FAIL, PASS, GateResult
from mmdet_jetson.stages.gates import judge
from mmdet_jetson.stages.proving.deviation import Deviation
from mmdet_jetson.stages.proving.proof import NetworkComparison, Proof

NAN = float("nan")


def judged(
    proof: Proof | None, stated: Tolerances = FP32, pictures: int = 20
) -> tuple[str, GateResult]:
    run = measured(evaluated("checkpoint"), pictures, {"pc": proof}, pc=evaluated())
    (result,) = judge({}, {"pc": stated}, run)
    assert (result.name, result.limit) == ("proof:pc", stated.alone)
    return result.outcome, result


def test_an_engine_that_detects_the_same_passes_and_is_told_about() -> None:
    outcome, result = judged(proven())

    assert (outcome, result.measured) == (PASS, 0)
    assert result.sentence == (
        "The engine for pc detects what the checkpoint detects in PyTorch: of the detections with "
        "a score of 0.05 or more, 100 agree, within 0.02% of the picture's longer side and 0.001 "
        "of score; 0 missing, 0 extra, 0 beyond that (0%, where 0.1% may be); the farthest apart "
        "differ by 0.001% and 0.000001."
    )


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Deviation(matched=99, missing=1), "1 missing"),
        (Deviation(matched=99, extra=1), "1 extra"),
        (Deviation(matched=99, off=1, box=0.01), "1 beyond"),
        (Deviation(missing=100), "(100%, where"),
        (Deviation(extra=130), "130 extra"),
        (Deviation(missing=100, extra=100), "100 missing, 100 extra"),
        (Deviation(off=100, score=0.5), "and 0.5."),
    ],
)
def test_more_without_a_partner_than_may_fails(found: Deviation, told: str) -> None:
    outcome, result = judged(proven(deviation=found))

    assert outcome == FAIL
    assert result.measured == found.alone
    assert told in result.sentence
    assert result.sentence.startswith("The engine for pc does not detect what the checkpoint")


def test_as_many_as_may_pass() -> None:
    found, stated = Deviation(matched=90, off=5, extra=5, box=0.01), replace(FP32, alone=0.1)

    assert judged(proven(deviation=found, tolerances=stated), stated)[0] == PASS
    assert judged(proven(deviation=replace(found, extra=6), tolerances=stated), stated)[0] == FAIL


def test_tolerances_are_told_without_powers_of_ten() -> None:
    found = Deviation(matched=99_999, missing=1, box=4e-6, score=2e-5)
    stated = Tolerances(from_score=1e-5, box=1e-5, score=3e-5, alone=1e-7)

    sentence = judged(proven(deviation=found, tolerances=stated), stated)[1].sentence

    for told in (
        "score of 0.00001 or more",
        "(0.001%, where 0.00001% may be)",
        "0.0004% and 0.00002.",
    ):
        assert told in sentence


@pytest.mark.parametrize("found", [Deviation(missing=3, extra=3), Deviation(off=3), Deviation()])
def test_tolerances_cannot_be_so_loose_that_nothing_has_to_match(found: Deviation) -> None:
    stated = Tolerances(from_score=0, box=1, score=1, alone=1)

    assert judged(proven(deviation=found, tolerances=stated), stated)[0] == FAIL


def test_networks_that_differ_fail_whatever_they_detect() -> None:
    differs = NetworkComparison(271, ("Conv_0 against Conv_0: the weights a are not b",))

    outcome, result = judged(proven(network=differs))

    assert outcome == FAIL
    assert "differ: Conv_0 against Conv_0: the weights a are not b." in result.sentence


def test_a_detector_without_a_documented_graph_can_be_proven() -> None:
    assert judged(proven(network=None))[0] == PASS


@pytest.mark.parametrize(
    ("proof", "sentence"),
    [
        (None, "There is no proof of the engine for pc."),
        (proven("orin"), "The proof given for the engine for pc is of the engine for orin."),
        (proven(tolerances=replace(FP32, box=1.0)), "made with other tolerances"),
        (proven(pictures=19), "covers 19 pictures, but the validation set has 20."),
        (proven(deviation=None), "compares no engine"),
        (replace(proven(), models={}), "compares no engine"),
        (proven(deviation=Deviation()), "compares nothing: neither it nor the checkpoint detects"),
    ],
)
def test_a_proof_of_nothing_or_of_something_else_fails(proof: Proof | None, sentence: str) -> None:
    outcome, result = judged(proof)

    assert (outcome, result.measured) == (FAIL, None)
    assert sentence in result.sentence


def test_no_pictures_prove_nothing() -> None:
    assert judged(proven(pictures=0), pictures=0)[0] == FAIL
