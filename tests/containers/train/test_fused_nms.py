"""NMS in plain operators against ``mmcv.ops.batched_nms``, on random and on built cases."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms

from mmdet_jetson.stages.conversion.fused_nms import Given, NmsLimits, nms_graph
from mmdet_jetson.stages.conversion.fused_preprocessing import preprocessing_graph
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

CASES = 10_000
BATCH = 100
WIDTH, HEIGHT = 640, 480
THRESHOLD = 0.05


class Shape(NamedTuple):
    """What decides the graph of a batch; few of them, since each is a session of its own."""

    boxes: int
    classes: int
    iou: float


SHAPES = [
    Shape(64, 1, 0.65),
    Shape(64, 1, 0.3),
    Shape(48, 2, 0.5),
    Shape(40, 3, 0.65),
    Shape(12, 20, 0.5),
    Shape(4, 80, 0.65),
]


def limits(iou: float = 0.5) -> NmsLimits:
    return NmsLimits(THRESHOLD, False, iou, 0.0, keep=1000, candidates=1000, rounds=64)


@lru_cache(None)
def session(asked: NmsLimits, batch: int, boxes: int, classes: int) -> onnxruntime.InferenceSession:
    graph = nms_graph(asked, Given(batch, boxes, classes))
    return onnxruntime.InferenceSession(graph.SerializeToString())


def run(
    asked: NmsLimits, boxes: np.ndarray, scores: np.ndarray, mapping: list[float] | None = None
) -> list[np.ndarray]:
    """Run the graph on boxes [batch, n, 4] and scores [batch, n, classes]."""
    batch, count, classes = scores.shape
    row = np.array(mapping or [1, 1, 1e6, 1e6], np.float32)
    feed = {
        "boxes": boxes.astype(np.float32),
        "scores": scores.astype(np.float32),
        "mapping": np.tile(row, (batch, 1)),
    }
    outputs: list[np.ndarray] = session(asked, batch, count, classes).run(None, feed)
    return outputs


def expected(boxes: np.ndarray, scores: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Do what MMDetection does to one picture: filter, then ``batched_nms``; rows and labels.

    ``batched_nms`` sorts with an unstable sort, so which of two equal scores is first depends on
    chance. Given ranks instead of scores it takes them in the order of their places.
    """
    all_boxes, all_scores = torch.tensor(boxes), torch.tensor(scores)
    sizes = all_boxes[:, 2:] - all_boxes[:, :2]
    passes = (all_scores > THRESHOLD) & (sizes > 0).all(1)[:, None]
    box, label = passes.nonzero().unbind(1)
    pair_scores = all_scores[passes]
    if not len(box):
        return np.zeros((0, 5), np.float32), np.zeros(0, np.int64)
    order = pair_scores.sort(descending=True, stable=True)[1]
    ranks = torch.empty(len(order))
    ranks[order] = torch.arange(len(order), 0, -1).float()
    _, kept = batched_nms(all_boxes[box], ranks, label, {"type": "nms", "iou_threshold": iou})
    rows = torch.cat([all_boxes[box[kept]], pair_scores[kept, None]], 1)
    return rows.numpy(), label[kept].numpy()


def pictures(shape: Shape, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a batch of pictures, each with its own crowding, ties, degenerate boxes and share.

    Corners reach out of the picture; a crowd has its boxes around one place.
    """
    random = np.random.default_rng(seed)

    def of_picture(*values: float) -> np.ndarray:
        return random.choice(values, (BATCH, 1, 1))

    centre = random.uniform(0, WIDTH, (BATCH, 1, 2))
    spread = of_picture(1.0, 10.0, 100.0, 400.0)
    middle = centre + spread * random.standard_normal((BATCH, shape.boxes, 2))
    side = of_picture(0.5, 8.0, 60.0, 300.0) * random.uniform(0.5, 1.5, (BATCH, shape.boxes, 2))
    degenerate = random.random((BATCH, shape.boxes, 1)) < of_picture(0.0, 0.0, 0.1, 0.9)
    side = np.where(degenerate, random.choice([0.0, -5.0], side.shape), side)
    boxes = np.concatenate([middle - side / 2, middle + side / 2], 2)
    whole = np.broadcast_to(of_picture(False, True), boxes.shape)
    boxes = np.where(whole, np.round(boxes), boxes)
    scores = random.random((BATCH, shape.boxes, shape.classes)) ** of_picture(1, 3)
    steps = of_picture(1, 4, 20, 1e6)
    scores = np.round(scores * steps) / steps * of_picture(0.0, 0.04, 0.9, 1.0, 1.0)
    return boxes.astype(np.float32), scores.astype(np.float32)


@settings(max_examples=CASES // BATCH, deadline=None, derandomize=True)
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1))
def test_ten_thousand_random_pictures_equal_batched_nms(shape: Shape, seed: int) -> None:
    boxes, scores = pictures(shape, seed)
    dets, labels, nms = run(limits(shape.iou), boxes, scores)
    for index in range(BATCH):
        rows, classes = expected(boxes[index], scores[index], shape.iou)
        passing, kept, unsettled = nms[index]
        assert unsettled == 0
        assert kept == len(rows) <= passing
        visible = clipped(rows)
        assert np.array_equal(dets[index, : len(rows)], visible)
        shown = np.where(visible[:, 4] > 0, classes, -1)
        assert np.array_equal(labels[index, : len(rows)], shown)
        assert not dets[index, len(rows) :].any()
        assert (labels[index, len(rows) :] == -1).all()


def clipped(rows: np.ndarray) -> np.ndarray:
    """Cut boxes off at the left and top borders; what is outside becomes a filling row."""
    inside = rows.copy()
    inside[:, :4] = np.maximum(inside[:, :4], 0)
    covers = (inside[:, 2:4] > inside[:, :2]).all(1)
    return np.where(covers[:, None], inside, 0)


def test_the_random_pictures_hold_what_they_should() -> None:
    kept, passing, ties, degenerate = [], [], 0, 0
    for seed, shape in enumerate(SHAPES):
        boxes, scores = pictures(shape, seed)
        nms = run(limits(shape.iou), boxes, scores)[2]
        passing += nms[:, 0].tolist()
        kept += nms[:, 1].tolist()
        ties += sum(len(np.unique(each)) < each.size / 2 for each in scores)
        degenerate += int(((boxes[..., 2:] - boxes[..., :2]) <= 0).any(2).sum())
    assert passing.count(0) > 20
    assert np.count_nonzero(np.array(kept) < np.array(passing) / 2) > 50
    assert ties > 50
    assert degenerate > 500


def chain(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of which each overlaps only the next: every second one is kept, one after another."""
    left = 6.0 * np.arange(length)
    boxes = np.stack([left, 0 * left, left + 20, 0 * left + 20], 1)[None]
    scores = np.linspace(0.9, 0.5, length)[None, :, None]
    return boxes, scores


@pytest.mark.parametrize("length", [2, 5, 17, 40])
def test_a_chain_deeper_than_the_rounds_is_detected(length: int) -> None:
    boxes, scores = chain(length)
    assert run(replace(limits(), rounds=length), boxes, scores)[2].tolist() == [
        [length, (length + 1) // 2, 0]
    ]
    for rounds in range(1, length):
        assert run(replace(limits(), rounds=rounds), boxes, scores)[2][0, 2] > 0


def test_the_best_candidates_are_decided_as_among_all() -> None:
    boxes, scores = pictures(SHAPES[3], 7)
    few = run(replace(limits(0.65), candidates=20), boxes, scores)
    everything = run(limits(0.65), boxes, scores)
    for index, (passing, kept, _) in enumerate(few[2]):
        assert kept <= passing
        assert np.array_equal(few[0][index, :kept], everything[0][index, :kept])


def test_an_inclusive_threshold_lets_equal_scores_pass() -> None:
    boxes = np.array([[[0, 0, 10, 10]]], np.float32)
    scores = np.full((1, 1, 1), np.float32(THRESHOLD))
    assert run(limits(), boxes, scores)[2].tolist() == [[0, 0, 0]]
    assert run(replace(limits(), inclusive=True), boxes, scores)[2].tolist() == [[1, 1, 0]]


def test_boxes_are_mapped_into_the_picture_and_cut_off_there() -> None:
    boxes = np.array([[[-2, 4, 10, 20], [30, 30, 40, 50], [50, 1, 60, 9]]], np.float32)
    scores = np.array([[[0.9], [0.8], [0.7]]], np.float32)
    dets, labels, _ = run(limits(), boxes, scores, mapping=[2, 3, 70, 100])
    assert dets[0].tolist() == [
        [0, 12, 20, 60, pytest.approx(0.9)],
        [60, 90, 70, 100, pytest.approx(0.8)],
        [0, 0, 0, 0, 0],
    ]
    assert labels.tolist() == [[0, 0, -1]]


def run_given(comes_in: Given, **values: object) -> list[np.ndarray]:
    """Run the graph on one picture, which is half as large as the network's input in x and y."""
    feed = {name: np.array(value, np.float32)[None] for name, value in values.items()}
    feed["mapping"] = np.array([[0.5, 0.5, 40, 30]], np.float32)
    graph = nms_graph(limits(), comes_in).SerializeToString()
    outputs: list[np.ndarray] = onnxruntime.InferenceSession(graph).run(None, feed)
    return outputs


def test_a_score_passes_without_its_factor_and_is_sorted_with_it() -> None:
    boxes = [[0, 0, 8, 8], [10, 0, 18, 8], [20, 0, 28, 8]]
    dets, labels, nms = run_given(
        Given(1, 3, 1, has_factors=True),
        boxes=boxes,
        scores=[[0.9], [0.06], [0.04]],
        factors=[[0.1], [0.5], [1.0]],
    )
    assert nms[0].tolist() == [2, 2, 0]
    assert labels[0].tolist() == [0, 0, -1]
    assert np.allclose(dets[0, :2], [[0, 0, 4, 4, 0.09], [5, 0, 9, 4, 0.03]])


@pytest.mark.parametrize(("border", "kept", "right"), [(None, 2, 40), (0.0, 1, 40), (4.0, 1, 38)])
def test_boxes_end_before_nms_where_the_picture_does(
    border: float | None, kept: int, right: float
) -> None:
    """Beyond the picture, which is 80 pixels wide here, the second box reaches further."""
    dets, _, nms = run_given(
        Given(1, 2, 1, border=border),
        boxes=[[40, 0, 80, 20], [40, 0, 200, 20]],
        scores=[[0.9], [0.8]],
    )
    assert nms[0].tolist() == [2, kept, 0]
    assert dets[0, 0, 2] == right


def test_voters_are_of_the_same_class_and_overlap() -> None:
    comes_in = Given(1, 4, 2)
    boxes = [[0, 0, 20, 20], [2, 0, 22, 20], [2, 0, 22, 20], [50, 0, 60, 20]]
    scores = [[0.9, 0], [0.6, 0], [0, 0.5], [0.7, 0]]
    feed = {"boxes": np.array([boxes], np.float32), "scores": np.array([scores], np.float32)}
    feed["mapping"] = np.array([[1, 1, 100, 100]], np.float32)
    graph = nms_graph(replace(limits(), votes=True), comes_in).SerializeToString()
    dets, labels, _ = onnxruntime.InferenceSession(graph).run(None, feed)
    vote = 0.6 * np.exp(-((1 - 360 / 440) ** 2) / 0.025)
    moved = 2 * vote / (0.9 + vote)
    expected_rows = [[moved, 0, 20 + moved, 20, 0.9], [50, 0, 60, 20, 0.7], [2, 0, 22, 20, 0.5]]
    assert labels[0, :4].tolist() == [0, 0, 1, -1]
    assert np.allclose(dets[0, :3], expected_rows, atol=1e-4)


@pytest.mark.parametrize("votes", [False, True])
def test_every_value_inside_is_a_number_also_of_boxes_without_area(votes: bool) -> None:
    """TensorRT's calibrators end in an assertion where one is not (TensorRT#1634)."""
    model = nms_graph(replace(limits(), min_size=None, votes=votes), Given(1, 6, 2))
    inferred = onnx.shape_inference.infer_shapes(model)
    model.graph.output.extend(
        value for value in inferred.graph.value_info if value.type.tensor_type.elem_type == 1
    )
    boxes = np.array([[[5, 5, 5, 5]] * 3 + [[9, 9, 2, 2]] + [[0, 0, 8, 8]] * 2], np.float32)
    feed = {
        "boxes": boxes,
        "scores": np.full((1, 6, 2), 0.5, np.float32),
        "mapping": np.array([[1, 1, 64, 64]], np.float32),
    }
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    assert len(found) > 40
    assert all(np.isfinite(values).all() for values in found)


def test_half_precision_has_every_constant() -> None:
    """TensorRT 8 may keep one in it, whatever it is told (TensorRT#2838, #3224)."""
    wanted = Preprocessing((64, 64), True, (114.0,) * 3, (103.5,) * 3, (57.4,) * 3, to_rgb=True)
    for graph in (
        nms_graph(replace(limits(), votes=True), Given(1, 64, 3, border=0.0)),
        preprocessing_graph("image", wanted, 1, folded=False),
    ):
        for tensor in graph.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype == np.float32:
                halves = values.astype(np.float16)
                assert np.isfinite(halves).all(), tensor.name
                assert np.array_equal(halves == 0, values == 0), tensor.name
