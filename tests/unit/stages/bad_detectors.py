"""A small detector, and engines of it that are wrong in a known way."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from fused import CLASSES, PREPROCESSING, SIDE, parsed
from onnx import numpy_helper

# Two detections at fixed places, with scores that depend on the picture, and two rows to spare.
TEXT = """<ir_version: 7, opset_import: ["" : 13]>
detector (uint8[1, 64, 64, 3] picture, float[1, 4] mapping)
=> (float[1, 4, 5] dets, int32[1, 4] labels, int32[1, 3] nms)
<float[1, 2, 4] boxes = {8, 8, 24, 24, 32, 16, 48, 48}, int64[4] columns = {0, 1, 0, 1},
 float[1, 2, 5] spare = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, float[1, 2, 1] factors = {1, 1},
 float bright = {255.0}, int64[3] as_scores = {1, 2, 1}, int64[3] as_ratios = {1, 1, 4},
 int32[1, 4] label_values = {0, 1, -1, -1}, int32[1, 3] nms_values = {2, 2, 0}>
{
  [preprocessing_cast] values = Cast <to = 1> (picture)
  [preprocessing_transpose] pixels = Transpose <perm = [0, 3, 1, 2]> (values)
  [preprocessing_scale] input = Div (pixels, bright)
  [network_conv_0] maps = Conv <kernel_shape = [3, 3], strides = [2, 2]> (input, weights_0)
  [network_relu] positive = Relu (maps)
  [network_conv_1] logits = Conv <kernel_shape = [3, 3], strides = [2, 2]> (positive, weights_1)
  [network_pool] means = GlobalAveragePool (logits)
  [network_sigmoid] sure = Sigmoid (means)
  [nms_scores] last = Reshape (sure, as_scores)
  [nms_factors] scores = Mul (last, factors)
  [nms_ratios] ratios = Gather <axis = 1> (mapping, columns)
  [nms_rows] rows = Reshape (ratios, as_ratios)
  [nms_boxes] scaled = Mul (boxes, rows)
  [nms_found] found = Concat <axis = 2> (scaled, scores)
  [nms_dets] dets = Concat <axis = 1> (found, spare)
  [nms_labels] labels = Identity (label_values)
  [nms_counts] nms = Identity (nms_values)
}"""
Weights = dict[str, np.ndarray]


def trained(seed: int = 0) -> Weights:
    random = np.random.default_rng(seed)
    shapes = {"weights_0": (4, 3, 3, 3), "weights_1": (2, 4, 3, 3)}
    return {
        name: random.standard_normal(shape).astype(np.float32) / 4 for name, shape in shapes.items()
    }


class Wrong:
    """How to make a detector wrong: what to replace in its text, and what to do to its weights."""

    def __init__(
        self, *texts: tuple[str, str], weights: Callable[[Weights], Weights] = lambda own: own
    ) -> None:
        self.texts, self.weights = texts, weights

    def model(self) -> onnx.ModelProto:
        text = TEXT
        for old, new in self.texts:
            assert old in text
            text = text.replace(old, new)
        model = parsed(text)
        for name, values in self.weights(trained()).items():
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        onnx.checker.check_model(model, full_check=True)
        return model


def swap_channels(own: Weights) -> Weights:
    return {**own, "weights_0": np.ascontiguousarray(own["weights_0"][:, ::-1])}


def not_a_number(own: Weights) -> Weights:
    return {**own, "weights_1": np.full_like(own["weights_1"], np.nan)}


SPARE = "spare = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}"
BAD = {
    "invented": Wrong(
        (SPARE, "spare = {2, 50, 12, 60, 0.8, 0, 0, 0, 0, 0}"), ("{0, 1, -1, -1}", "{0, 1, 0, -1}")
    ),
    "duplicated": Wrong(("(found, spare)", "(found, found)"), ("{0, 1, -1, -1}", "{0, 1, 0, 1}")),
    "missing": Wrong(("factors = {1, 1}", "factors = {1, 0}")),
    "shifted-by-half-a-pixel": Wrong(
        ("{8, 8, 24, 24, 32, 16, 48, 48}", "{8.5, 8.5, 24.5, 24.5, 32.5, 16.5, 48.5, 48.5}")
    ),
    "shifted-far": Wrong(
        ("{8, 8, 24, 24, 32, 16, 48, 48}", "{16, 8, 32, 24, 40, 16, 56, 48}")
    ),
    "rescored": Wrong(("factors = {1, 1}", "factors = {0.9, 0.9}")),
    "classes-swapped": Wrong(("{0, 1, -1, -1}", "{1, 0, -1, -1}")),
    "channels-swapped": Wrong(weights=swap_channels),
    "another-models": Wrong(weights=lambda _: trained(seed=1)),
    "nan-weights": Wrong(weights=not_a_number),
    "blind": Wrong(("Sigmoid (means)", "Sigmoid (nothing)"), ("float bright", "float[1, 2, 1, 1] nothing = {0.4, 0.4}, float bright")),
}  # fmt: skip


def graph(folder: Path, model: onnx.ModelProto) -> Path:
    """Write an `onnx` artifact of the fused kind."""
    folder.mkdir()
    onnx.save(model, str(folder / "end2end.onnx"))
    described = {
        "graph": "fused",
        "input": "letterboxed",
        "classes": CLASSES,
        "input_size": [SIDE, SIDE],
        "preprocessing": PREPROCESSING,
        "post_processing": {"keep": 4, "nms_pre": 4, "score_threshold": 0.001},
        "checkpoint": {"sha256": "c" * 64},
    }
    (folder / "graph.json").write_text(json.dumps(described))
    return folder
