"""How far the detections of an engine are from those of the ONNX file it was built from."""

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

from mmdet_jetson.stages.backends.onnxruntime import load, network_of, options
from mmdet_jetson.stages.building.operators import custom_operators
from mmdet_jetson.stages.inference.network import Network

# Where a graph takes pictures of any size, (height, width): odd, and higher than wide.
ANY_SIZE = (481, 353)
TILE = 16  # pixels


def difference_from(onnx_file: Path, network: Network) -> Optional[float]:
    """Give the `max_difference` of a network from an ONNX file, on `example_inputs`.

    None where the file holds operators that ONNX Runtime, the reference, cannot compute.
    """
    if custom_operators(onnx_file):
        return None
    inputs = example_inputs(onnx.load(str(onnx_file)))
    as_it_is = options(ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    expected = network_of(load(onnx_file, as_it_is))(*inputs)
    return max_difference(expected, network(*inputs), max(_sides(inputs[0])))


def example_inputs(model: onnx.ModelProto) -> List[np.ndarray]:
    """Give inputs that a graph detects something in: tiles of random colours under noise.

    On a blank picture many scores tie, and rounding then decides which box is best; in noise alone
    there is nothing to see.
    """
    random = np.random.default_rng(0)
    inputs: List[np.ndarray] = []
    for value in model.graph.input:
        if value.name == "mapping":
            batch, height, width = inputs[0].shape[0], *_sides(inputs[0])
            inputs.append(np.array([[1, 1, width, height]] * batch, np.float32))
            continue
        picture = _tiles(random, _shape(value))
        is_picture = value.type.tensor_type.elem_type == TensorProto.UINT8
        inputs.append(
            np.clip(128 + 64 * picture, 0, 255).astype(np.uint8) if is_picture else picture
        )
    return inputs


def max_difference(
    expected: Sequence[np.ndarray], actual: Sequence[np.ndarray], side: float
) -> float:
    """Give the largest difference between a detection and the nearest one of the other network.

    Both are the outputs of a network: dets [batch, n, 5] and labels [batch, n]. Scores count as
    they are, corners as a share of ``side`` in pixels. Nearest and not same: detections whose
    scores differ by a rounding error may change places. It is looked for both ways: where rows
    that only fill the outputs up are equal, a detection in place of one of them leaves every row of
    the other network a near one.
    """
    rows, others = _rows(expected, side), _rows(actual, side)
    if rows.shape != others.shape:
        return float("inf")
    apart = np.abs(rows[:, None] - others[None]).max(axis=2)
    nearest = [apart.min(axis=axis, initial=np.inf).max(initial=0) for axis in (0, 1)]
    return float(max(nearest))


def _rows(outputs: Sequence[np.ndarray], side: float) -> np.ndarray:
    """Join box, score, label and place in the batch: [batch * n, 7]."""
    dets, labels = outputs[0], outputs[1]
    scaled = dets / np.array([side] * 4 + [1], np.float32)
    places = np.broadcast_to(np.arange(len(dets))[:, None], labels.shape)
    joined = np.concatenate([scaled, labels[..., None], places[..., None]], axis=2)
    return joined.reshape(-1, joined.shape[2])


def _shape(value: onnx.ValueInfoProto) -> List[int]:
    """Give a shape, with sides that may be any in `ANY_SIZE`."""
    free = iter(ANY_SIZE)
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
