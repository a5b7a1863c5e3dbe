from pathlib import Path

import numpy as np
import onnx
import pytest
from built_engines import fixed_network
from fused import fused_model

from mmdet_jetson.stages.engines.comparison import (
    ANY_SIZE,
    difference_from,
    example_inputs,
    max_difference,
)

DETS = np.array([[[8, 8, 24, 24, 0.5], [32, 16, 48, 48, 0.9]]], np.float32)
LABELS = np.array([[1, 0]])


def test_the_same_in_another_order_differs_by_nothing() -> None:
    assert max_difference((DETS, LABELS), (DETS[:, ::-1], LABELS[:, ::-1]), 64) == 0


@pytest.mark.parametrize(
    ("row", "change", "expected"), [(0, [0, 0, 6.4, 0, 0], 0.1), (1, [0, 0, 0, 0, -0.3], 0.3)]
)
def test_corners_count_as_a_share_of_the_side_and_scores_as_they_are(
    row: int, change: list[float], expected: float
) -> None:
    changed = DETS.copy()
    changed[0, row] += change

    assert max_difference((DETS, LABELS), (changed, LABELS), 64) == pytest.approx(expected)


def test_another_class_another_picture_and_another_number_are_far_apart() -> None:
    twice = np.concatenate([DETS, DETS]), np.concatenate([LABELS, LABELS])
    swapped = twice[0].copy()
    swapped[0, 0, 4] = 0.1

    assert max_difference((DETS, LABELS), (DETS, LABELS + 1), 64) >= 1
    assert max_difference((DETS, LABELS), (DETS[:, :1], LABELS[:, :1]), 64) == np.inf
    assert max_difference(twice, (swapped, twice[1]), 64) == pytest.approx(0.4)


def test_a_detection_that_only_one_of_them_has_counts_whichever_it_is() -> None:
    filler = np.zeros(5, np.float32)
    few = np.array([[DETS[0, 0], filler, filler]])
    more = np.array([[DETS[0, 0], DETS[0, 1], filler]])
    labels = np.array([[1, -1, -1]])

    assert max_difference((few, labels), (more, labels), 64) >= 0.5
    assert max_difference((more, labels), (few, labels), 64) >= 0.5


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

    assert example_inputs(model)[0].shape == (1, *ANY_SIZE, 3)


def test_what_only_a_plugin_computes_is_not_compared(tmp_path: Path) -> None:
    custom = onnx.helper.make_node("TRTBatchedNMS", ["mean"], ["boxes"], domain="mmdeploy")
    fixed_network(tmp_path / "a.onnx", extra=[custom])

    assert difference_from(tmp_path / "a.onnx", lambda *inputs: ()) is None
