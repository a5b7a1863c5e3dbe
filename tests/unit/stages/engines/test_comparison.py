from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from built_engines import fixed_network
from fused import fused_model

from mmdet_jetson.stages.engines.comparison import (
    ANY_SIZE,
    Bound,
    compare_with,
    example_inputs,
    max_difference,
    share_alone,
)
from mmdet_jetson.stages.inference.graph import PostProcessing
from mmdet_jetson.stages.inference.passport import Compared

Outputs = tuple[np.ndarray, np.ndarray]

DETS = np.array([[[8, 8, 24, 24, 0.5], [32, 16, 48, 48, 0.9]]], np.float32)
LABELS = np.array([[1, 0]])


def test_the_same_in_another_order_differs_by_nothing() -> None:
    assert max_difference((DETS, LABELS), (DETS[:, ::-1], LABELS[:, ::-1]), 64) == 0


@pytest.mark.parametrize(
    ("row", "change", "expected"), [(0, [0, 0, 0.64, 0, 0], 0.01), (1, [0, 0, 0, 0, -0.3], 0.3)]
)
def test_corners_count_as_a_share_of_the_side_and_scores_as_they_are(
    row: int, change: list[float], expected: float
) -> None:
    changed = DETS.copy()
    changed[0, row] += change

    assert max_difference((DETS, LABELS), (changed, LABELS), 64) == pytest.approx(expected)


def outputs(*rows: list[float], fill: int = 4, labels: Sequence[int] = ()) -> Outputs:
    """Give what a network with ``fill`` rows gives for one picture; the rest only fills up."""
    dets = np.zeros((1, fill, 5), np.float32)
    dets[0, : len(rows)] = np.array(rows).reshape(-1, 5)
    listed = [*(labels or [0] * len(rows)), *[-1] * (fill - len(rows))]
    return dets, np.array([listed])


A, B, C = [8, 8, 24, 24, 0.5], [32, 16, 48, 48, 0.9], [2, 40, 20, 60, 0.25]
NAN = float("nan")
THRESHOLD = PostProcessing(score_threshold=0.05)
BAD = {
    "invented": (outputs(A, B), outputs(A, B, C), 0.25),
    "many-invented": (outputs(A, B, fill=130), outputs(A, *[B] * 129, fill=130), 0.9),
    "missing": (outputs(A, B), outputs(A), 0.9),
    "duplicated": (outputs(A, B), outputs(A, B, B), 0.9),
    "doubled-for-another": (outputs(A, B), outputs(B, B), 0.9),
    "nothing": (outputs(A, B), outputs(), 0.9),
    "out-of-nothing": (outputs(), outputs(A), 0.5),
    "rescored": (outputs(A, B), outputs(A, [*B[:4], 0.7]), 0.2),
    "shifted": (outputs(A, B), outputs(A, [33, 16, 49, 48, 0.9]), 1 / 64),
    "elsewhere": (outputs(A, B), outputs(A, [0, 16, 16, 48, 0.9]), 0.9),
    "other-class": (outputs(A, B), outputs(A, B, labels=[0, 1]), 0.9),
    "classes-swapped": (outputs(A, B, labels=[1, 0]), outputs(A, B, labels=[0, 1]), 0.9),
    "boxes-swapped": (outputs(A, B), outputs([*B[:4], A[4]], [*A[:4], B[4]]), 0.4),
    "nan-score": (outputs(A, B), outputs(A, [*B[:4], NAN]), np.inf),
    "nan-corner": (outputs(A, B), outputs(A, [NAN, *B[1:]]), np.inf),
    "all-nan": (outputs(A, B), outputs([NAN] * 5, [NAN] * 5), np.inf),
    "infinite": (outputs(A, B), outputs(A, [*B[:3], np.inf, 0.9]), np.inf),
    "fewer-rows": (outputs(A, B), outputs(A, B, fill=2), np.inf),
}


@pytest.mark.parametrize(("expected", "actual", "difference"), BAD.values(), ids=BAD)
def test_what_differs_is_far_apart_from_either_side(
    expected: Outputs, actual: Outputs, difference: float
) -> None:
    assert max_difference(expected, actual, 64) == pytest.approx(difference)
    assert max_difference(actual, expected, 64) == pytest.approx(difference)


def test_another_picture_of_the_batch_is_another_place() -> None:
    pair = [np.concatenate(each) for each in zip(outputs(A), outputs(B), strict=True)]
    turned = [each[::-1] for each in pair]

    assert max_difference(pair, pair, 64) == 0
    assert max_difference(pair, turned, 64) == pytest.approx(0.9)
    assert max_difference(pair, outputs(A), 64) == np.inf


def test_a_score_at_the_threshold_may_be_on_either_side_of_it() -> None:
    faint = [*C[:4], 0.0501]

    assert max_difference(outputs(A, faint), outputs(A), 64, THRESHOLD) == pytest.approx(
        1e-4, rel=1e-3
    )
    assert max_difference(outputs(A), outputs(A, faint), 64, THRESHOLD) == pytest.approx(
        1e-4, rel=1e-3
    )
    assert max_difference(outputs(A, faint), outputs(A), 64) == pytest.approx(0.0501)


def test_the_last_candidate_of_a_crowded_nms_may_be_another() -> None:
    """The third output says how many pairs were over the threshold, kept and not yet settled."""
    limits = PostProcessing(nms_pre=1000)
    crowded, free = (np.array([[passing, 3, 0]]) for passing in (1001, 1000))
    several = outputs(A, B, C)

    assert max_difference((*several, crowded), outputs(A, B), 64, limits) == 0
    assert max_difference((*several, free), outputs(A, B), 64, limits) == 0.25
    assert max_difference((*several, crowded), outputs(B), 64, limits) == pytest.approx(0.25)
    assert max_difference((*several, crowded), outputs(C), 64, limits) == pytest.approx(0.65)
    assert max_difference(several, (*outputs(B), crowded), 64, limits) == pytest.approx(0.5)


def test_the_faintest_of_a_full_list_may_be_another() -> None:
    here, there = [*C[:4], 0.2501], [40, 40, 60, 60, 0.25]

    difference = max_difference(outputs(A, B, here, fill=3), outputs(A, B, there, fill=3), 64)

    assert difference == pytest.approx(1e-4, rel=1e-3)


def test_example_inputs_fit_the_graph() -> None:
    picture, mapping = example_inputs(fused_model())

    assert picture.shape == (1, 64, 64, 3)
    assert picture.dtype == np.uint8
    assert mapping.tolist() == [[1, 1, 64, 64]]
    assert picture.std() > 20


def test_a_picture_of_any_size_is_odd() -> None:
    model = fused_model()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_param, dims[2].dim_param = "height", "width"

    for largest in (max(ANY_SIZE), 4096):
        assert example_inputs(model, largest=largest)[0].shape == (1, *ANY_SIZE, 3)
    for largest in (32, 64, 320):  # as a target says of its engine
        picture, mapping = example_inputs(model, largest=largest)
        assert largest - 1 <= max(picture.shape[1:3]) <= largest
        assert min(picture.shape[1:3]) >= 32
        assert mapping[0, 2:].tolist() == [picture.shape[2], picture.shape[1]]


def test_what_only_a_plugin_computes_is_not_compared(tmp_path: Path) -> None:
    custom = onnx.helper.make_node("TRTBatchedNMS", ["mean"], ["boxes"], domain="mmdeploy")
    fixed_network(tmp_path / "a.onnx", extra=[custom])

    assert compare_with(tmp_path / "a.onnx", lambda *inputs: (), LOOSE) == Compared()


def test_two_that_detect_nothing_have_nothing_to_compare(tmp_path: Path) -> None:
    fixed_network(tmp_path / "a.onnx", dets=[[0, 0, 0, 0, 0]], labels=[-1])
    nothing = np.zeros((1, 1, 5), np.float32), np.array([[-1]])
    something = np.array([[[8, 8, 24, 24, 0.5]]], np.float32), np.array([[0]])

    assert max_difference(nothing, nothing, 64) is None
    assert share_alone(nothing, nothing, 64, LOOSE) is None
    assert compare_with(tmp_path / "a.onnx", lambda *_: nothing, LOOSE) == Compared()
    assert compare_with(tmp_path / "a.onnx", lambda *_: something, LOOSE) == Compared(0.5, 1.0)


LOOSE = Bound(from_score=0.3, box=0.02, score=0.2, alone=0.25)
# What of either list, A with 0.5 and B with 0.9, has no partner.
ALONE = {
    "same": (outputs(A, B), 0),
    "a-little-off": (outputs([*A[:4], 0.4], [33, 16, 49, 48, 0.8]), 0),
    "invented": (outputs(A, B, [*C[:4], 0.6]), 1 / 3),
    "faint": (outputs(A, B, C), 0),
    "missing": (outputs(B), 1 / 2),
    "duplicated": (outputs(A, A, B, B), 1 / 2),
    "rescored": (outputs(A, [*B[:4], 0.6]), 1 / 2),
    "elsewhere": (outputs(A, [0, 16, 16, 48, 0.9]), 1 / 2),
    "other-class": (outputs(A, B, labels=[0, 1]), 1 / 2),
    "nothing": (outputs(), 1),
    "not-a-number": (outputs(A, [*B[:4], NAN]), 1 / 2),
    "fewer-rows": (outputs(A, B, fill=2), 1),
}


@pytest.mark.parametrize(("actual", "share"), ALONE.values(), ids=ALONE)
def test_the_share_alone_is_that_of_whoever_has_more(actual: Outputs, share: float) -> None:
    assert share_alone(outputs(A, B), actual, 64, LOOSE) == pytest.approx(share)
    assert share_alone(actual, outputs(A, B), 64, LOOSE) == pytest.approx(share)


def test_what_may_have_been_cut_off_needs_no_partner() -> None:
    """A full list of two may lack what is no more than a little better than its faintest."""
    several, full = outputs(A, B, [*C[:4], 0.6], fill=3), outputs(B, [*C[:4], 0.6], A, fill=3)
    other = outputs(B, [*C[:4], 0.6], [40, 40, 60, 60, 0.45], fill=3)

    assert share_alone(several, full, 64, LOOSE) == 0
    assert share_alone(several, other, 64, LOOSE) == 0
    assert share_alone(several, other, 64, replace(LOOSE, score=0.01)) == pytest.approx(1 / 3)
