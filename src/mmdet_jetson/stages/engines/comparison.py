"""How far the detections of an engine are from those of the ONNX file it was built from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

from mmdet_jetson.contract.parameters.engine import SMALLEST_SIDE
from mmdet_jetson.stages.backends.onnxruntime import load, network_of, options
from mmdet_jetson.stages.building.operators import custom_operators
from mmdet_jetson.stages.inference.graph import Graph, PostProcessing
from mmdet_jetson.stages.inference.matching import cut_off, partners
from mmdet_jetson.stages.inference.network import Network, in_order
from mmdet_jetson.stages.inference.passport import Compared

# Where a graph takes pictures of any size, (height, width): odd, and higher than wide.
ANY_SIZE = (481, 353)
TILE = 16  # pixels
NO_LIMITS = PostProcessing()


@dataclass(frozen=True)
class Bound:
    """Which detections need a partner, how near it has to be, and which share may have none.

    Those with a score from ``from_score`` on; corners within ``box``, as a share of the picture's
    longer side, and a score within ``score``. The gates have their own: a change there is no reason
    to build engines anew.
    """

    from_score: float
    box: float
    score: float
    alone: float


def compare_with(
    onnx_file: Path,
    network: Network,
    bound: Bound,
    graph: Optional[Graph] = None,
    largest: int = max(ANY_SIZE),
) -> Compared:
    """Compare a network with an ONNX file on `example_inputs`.

    ``largest`` is how long a side the network takes, where the file takes any.

    ``graph`` describes the file: the network has its order of inputs and outputs, and its limits
    are those of the post-processing; without one the order is the file's. What the comparison says
    is None where there is nothing to compare: the file holds operators that ONNX Runtime, the
    reference, cannot compute, or neither of the two detects anything.
    """
    if custom_operators(onnx_file):
        return Compared()
    names, returned = (graph.inputs, graph.outputs) if graph else ((), ())
    limits = graph.post_processing if graph else NO_LIMITS
    inputs = example_inputs(onnx.load(str(onnx_file)), names, largest)
    as_it_is = options(ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    expected = network_of(load(onnx_file, as_it_is), names, returned)(*inputs)
    actual, side = network(*inputs), max(_sides(inputs[0]))
    return Compared(
        max_difference(expected, actual, side, limits),
        share_alone(expected, actual, side, bound, limits),
    )


def example_inputs(
    model: onnx.ModelProto, order: Sequence[str] = (), largest: int = max(ANY_SIZE)
) -> List[np.ndarray]:
    """Give inputs that a graph detects something in: tiles of random colours under noise.

    On a blank picture many scores tie, and rounding then decides which box is best; in noise alone
    there is nothing to see. They come in the ``order`` of these names, else in the file's, and with
    sides up to ``largest`` where these may be any.
    """
    random = np.random.default_rng(0)
    inputs: List[np.ndarray] = []
    known = {value.name: value for value in model.graph.input}
    for value in map(known.__getitem__, in_order(order, list(known), "the graph")):
        if value.name == "mapping":
            batch, height, width = inputs[0].shape[0], *_sides(inputs[0])
            inputs.append(np.array([[1, 1, width, height]] * batch, np.float32))
            continue
        picture = _tiles(random, _shape(value, largest))
        is_picture = value.type.tensor_type.elem_type == TensorProto.UINT8
        inputs.append(
            np.clip(128 + 64 * picture, 0, 255).astype(np.uint8) if is_picture else picture
        )
    return inputs


def max_difference(
    expected: Sequence[np.ndarray],
    actual: Sequence[np.ndarray],
    side: float,
    limits: PostProcessing = NO_LIMITS,
) -> Optional[float]:
    """Give the largest difference between two networks' detections, matched one to one.

    Both are the outputs of a network: dets [batch, n, 5] and labels [batch, n], where rows with
    score 0 only fill up, and `nms` of a fused graph. Scores count as they are, corners as a share
    of ``side`` in pixels. Partners are of the same class and `NEAR`, whatever their places:
    detections whose scores differ by a rounding error may change these. One without a partner, in
    either of the two, counts by how far its score is over what the ``limits`` may have cut off: see
    `cut_off`. Where something is not a finite number the difference is infinite. None where neither
    detects anything: that two are blind says nothing about either.
    """
    if expected[0].shape != actual[0].shape:
        return float("inf")
    keep, differences = expected[0].shape[1], []
    for rows, others, threshold in _pairs(expected, actual, limits):
        if len(rows) or len(others):
            differences.append(_difference(rows, others, side, keep, threshold))
    return max(differences) if differences else None


def share_alone(
    expected: Sequence[np.ndarray],
    actual: Sequence[np.ndarray],
    side: float,
    bound: Bound,
    limits: PostProcessing = NO_LIMITS,
) -> Optional[float]:
    """Give the share of detections without a partner within the bound, from 0 to 1.

    It is the larger one of the two networks'. Detections from ``from_score`` on count, unless the
    ``limits`` may have cut their partners off. None where there are none.
    """
    if expected[0].shape != actual[0].shape:
        return 1.0
    keep = expected[0].shape[1]
    counted, alone = np.zeros(2), np.zeros(2)
    for rows, others, threshold in _pairs(expected, actual, limits):
        for place, (own, other) in enumerate(((rows, others), (others, rows))):
            cut = cut_off(other, keep, threshold)
            needed = max(bound.from_score, cut + bound.score if cut > 0 else 0)
            chosen = partners(own, other, side, bound.box, bound.score)
            needs = ~(own[:, 4] < needed)  # a score that is not a number counts
            counted[place] += np.count_nonzero(needs)
            alone[place] += np.count_nonzero(needs & (chosen < 0))
    return float((alone / np.maximum(counted, 1)).max()) if counted.any() else None


def _pairs(
    expected: Sequence[np.ndarray], actual: Sequence[np.ndarray], limits: PostProcessing
) -> Iterator[Tuple[np.ndarray, np.ndarray, float]]:
    """Give both detections of each picture, and the score below which some may be missing."""
    for place, (rows, others) in enumerate(zip(_pictures(expected), _pictures(actual))):
        threshold = limits.score_threshold
        if _is_crowded(expected, place, limits):
            # Rounding decides who is the last candidate, and nobody is fainter than that one.
            faintest = np.concatenate([rows[:, 4], others[:, 4]]).min(initial=np.inf)
            threshold = max(threshold, float(faintest))
        yield rows, others, threshold


def _is_crowded(outputs: Sequence[np.ndarray], place: int, limits: PostProcessing) -> bool:
    """Whether more pairs of a box and a class were over the threshold than a fused NMS takes."""
    if len(outputs) < 3 or limits.nms_pre is None:
        return False
    return bool(outputs[2][place, 0] > limits.nms_pre)


def _difference(
    rows: np.ndarray, others: np.ndarray, side: float, keep: int, threshold: float
) -> float:
    """Give the largest difference on one picture."""
    if not (np.isfinite(rows).all() and np.isfinite(others).all()):
        return float("inf")
    chosen = partners(rows, others, side)
    paired = chosen >= 0
    changes = np.abs(rows[paired, :5] - others[chosen[paired], :5]) / ([side] * 4 + [1])
    without = np.setdiff1d(np.arange(len(others)), chosen)
    alone = (
        rows[~paired, 4] - cut_off(others, keep, threshold),
        others[without, 4] - cut_off(rows, keep, threshold),
    )
    return float(np.concatenate([changes.ravel(), *alone]).max(initial=0))


def _pictures(outputs: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Give the detections on each picture of a batch, [n, 6], without rows that only fill up."""
    for dets, labels in zip(*outputs[:2]):
        rows = np.concatenate([dets, labels[:, None]], axis=1).astype(np.float64)
        yield rows[~(rows[:, 4] <= 0)]  # a score that is not a number stays


def _shape(value: onnx.ValueInfoProto, largest: int) -> List[int]:
    """Give a shape; sides that may be any are those of `ANY_SIZE`, or as high for as wide."""
    share = min(1, largest / max(ANY_SIZE))
    free = iter(max(SMALLEST_SIDE, int(share * side)) for side in ANY_SIZE)
    dimensions = value.type.tensor_type.shape.dim
    return [each.dim_value if each.dim_value > 0 else next(free) for each in dimensions]


def _sides(batch: np.ndarray) -> Tuple[int, int]:
    """Give height and width, channels being first or last."""
    first, second = batch.shape[1:3] if batch.shape[3] == 3 else batch.shape[2:]
    return int(first), int(second)


def _tiles(random: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    coarse = [side if side <= 3 else -(-side // TILE) for side in shape[1:]]
    tiles = random.standard_normal((shape[0], *coarse), np.float32)
    for axis, side in enumerate(shape[1:], start=1):
        if side > 3:
            tiles = np.repeat(tiles, TILE, axis)
    cut: np.ndarray = tiles[tuple(slice(side) for side in shape)]
    return cut + random.standard_normal(shape, np.float32) / 8
