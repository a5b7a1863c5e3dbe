"""A small detector with the parts, the names and the inputs of a fused graph."""

from __future__ import annotations  # read by Python 3.8, too

import json
import re
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import numpy_helper, parser

SIDE = 64
CLASSES = ["balloon", "kite"]
PREPROCESSING = {
    "input_size": [SIDE, SIDE],
    "keep_ratio": True,
    "pad_value": [114.0, 114.0, 114.0],
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "to_rgb": False,
}
NAME = re.compile(r"(?m)^  \[(\w+)\] ")
TEXT = """<ir_version: 7, opset_import: ["" : 13]>
detector (uint8[1, 64, 64, 3] picture, float[1, 4] mapping)
=> (float[1, 2, 5] dets, int32[1, 2] labels, int32[1, 3] nms)
<float[1, 2, 4] boxes = {8, 8, 24, 24, 32, 16, 48, 48}, int64[4] columns = {0, 1, 0, 1},
 float bright = {255.0}, int64[3] as_scores = {1, 2, 1}, int64[3] as_ratios = {1, 1, 4},
 int32[1, 2] label_values = {0, 1}, int32[1, 3] nms_values = {2, 2, 0}>
{
  [preprocessing_cast] values = Cast <to = 1> (picture)
  [preprocessing_transpose] pixels = Transpose <perm = [0, 3, 1, 2]> (values)
  [preprocessing_scale] input = Div (pixels, bright)
  [network_conv_0] maps = Conv <kernel_shape = [3, 3], strides = [2, 2]> (input, weights_0)
  [network_relu] positive = Relu (maps)
  [network_conv_1] logits = Conv <kernel_shape = [3, 3], strides = [2, 2]> (positive, weights_1)
  [network_pool] means = GlobalAveragePool (logits)
  [network_sigmoid] scores = Sigmoid (means)
  [nms_scores] last = Reshape (scores, as_scores)
  [nms_ratios] ratios = Gather <axis = 1> (mapping, columns)
  [nms_rows] rows = Reshape (ratios, as_ratios)
  [nms_boxes] scaled = Mul (boxes, rows)
  [nms_dets] dets = Concat <axis = 2> (scaled, last)
  [nms_labels] labels = Identity (label_values)
  [nms_counts] nms = Identity (nms_values)
}"""


def parsed(text: str) -> onnx.ModelProto:
    """Read a graph whose nodes have names in front, ``[part_name]``."""
    model = parser.parse_model(NAME.sub("", text))  # ONNX 1.17 reads no names of nodes
    for node, name in zip(model.graph.node, NAME.findall(text)):  # noqa: B905 - Python 3.8
        node.name = name.replace("_", "/", 1)
    return model


def fused_model() -> onnx.ModelProto:
    model = parsed(TEXT)
    random = np.random.default_rng(0)
    for name, shape in (("weights_0", (4, 3, 3, 3)), ("weights_1", (2, 4, 3, 3))):
        weights = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    onnx.checker.check_model(model, full_check=True)
    return model


def fused_folder(folder: Path, model: onnx.ModelProto | None = None) -> Path:
    """Write an `onnx` artifact of the fused kind; its graph takes what `fused_model` takes."""
    folder.mkdir()
    onnx.save(model or fused_model(), str(folder / "end2end.onnx"))
    graph = {
        "graph": "fused",
        "input": "letterboxed",
        "inputs": {"picture": [1, SIDE, SIDE, 3], "mapping": [1, 4]},
        "outputs": {"dets": [1, 2, 5], "labels": [1, 2], "nms": [1, 3]},
        "batch": 1,
        "classes": CLASSES,
        "input_size": [SIDE, SIDE],
        "preprocessing": PREPROCESSING,
        "post_processing": {"keep": 2, "nms_pre": 2},
        "checkpoint": {"sha256": "c" * 64},
    }
    (folder / "graph.json").write_text(json.dumps(graph))
    return folder


def split_folder(folder: Path, split: str, seeds: list[int]) -> Path:
    """Write one split of a `dataset` artifact; pictures of the same seed show the same."""
    (folder / split).mkdir(parents=True)
    images: list[dict[str, object]] = []
    for number, seed in enumerate(seeds, 1):
        noise = np.random.default_rng(seed).integers(0, 255, (48, 80, 3), np.uint8)
        name = f"{split}_{number:02}.png"
        cv2.imwrite(str(folder / split / name), noise)
        images.append({"id": number, "file_name": name, "width": 80, "height": 48})
    (folder / f"{split}.json").write_text(json.dumps({"images": images}))
    return folder
