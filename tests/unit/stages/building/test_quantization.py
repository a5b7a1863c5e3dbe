"""Where Quantize and Dequantize nodes stand in an INT8 graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from fused import fused_folder, parsed, split_folder
from onnx import numpy_helper

from mmdet_jetson.stages.building.quantization import (
    ASYMMETRIC,
    ON_BOTH_SIDES,
    SYMMETRIC,
    Scheme,
    quantize,
)
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.inference.graph import read_graph

# A convolution with each kind of activation behind it, and a product that is none.
TEXT = """<ir_version: 7, opset_import: ["" : 13]>
detector (uint8[1, 64, 64, 3] picture, float[1, 4] mapping) => (float[1, 2, N, M] logits)
<float bright = {255.0}>
{
  [preprocessing_cast] values = Cast <to = 1> (picture)
  [preprocessing_transpose] pixels = Transpose <perm = [0, 3, 1, 2]> (values)
  [preprocessing_scale] input = Div (pixels, bright)
  [network_conv_0] maps = Conv <kernel_shape = [3, 3]> (input, weights_0)
  [network_sigmoid] share = Sigmoid (maps)
  [network_silu] lit = Mul (maps, share)
  [network_conv_1] offsets = Conv <kernel_shape = [3, 3]> (lit, weights_1)
  [network_square] places = Mul (offsets, offsets)
  [network_conv_2] more = Conv <kernel_shape = [3, 3]> (places, weights_2)
  [network_relu] positive = Relu (more)
  [network_conv_3] logits = Conv <kernel_shape = [3, 3]> (positive, weights_3)
}"""
LAST = "network/conv_3"


def quantized(folder: Path, scheme: Scheme) -> onnx.GraphProto:
    model, random = parsed(TEXT), np.random.default_rng(0)
    for number, shape in enumerate([(4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3), (2, 4, 3, 3)]):
        weights = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, f"weights_{number}"))
    onnx_folder = fused_folder(folder / "onnx", model)
    pictures = split_folder(folder / "training", "train", [0, 1]) / "train"
    request = BuildRequest(
        onnx_folder / "end2end.onnx",
        folder,
        "int8",
        read_graph(onnx_folder),
        calibration=sorted(pictures.iterdir()),
    )
    return onnx.load(str(quantize(request, scheme, folder / "int8.onnx"))).graph


def in_8_bits(graph: onnx.GraphProto) -> set[str]:
    """Name the values, not weights, that are quantized."""
    weights = {tensor.name for tensor in graph.initializer}
    return {n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"} - weights


@pytest.mark.parametrize("scheme", [ASYMMETRIC, SYMMETRIC])
def test_only_what_a_convolution_reads_is_quantized(tmp_path: Path, scheme: Scheme) -> None:
    """Between a convolution and its activation there is nothing, so a compiler can join them."""
    assert in_8_bits(quantized(tmp_path, scheme)) == {"input", "lit", "places"}


def test_onnx_runtime_needs_the_outputs_and_gets_the_activations_with_them(tmp_path: Path) -> None:
    """But no other product: in a deformable convolution it may be a place."""
    found = in_8_bits(quantized(tmp_path, ON_BOTH_SIDES))

    assert found >= {"input", "maps", "share", "lit", "offsets", "places", "positive"}
    assert "logits" not in found


@pytest.mark.parametrize("scheme", [ASYMMETRIC, ON_BOTH_SIDES, SYMMETRIC])
def test_boxes_and_scores_keep_all_their_bits(tmp_path: Path, scheme: Scheme) -> None:
    graph = quantized(tmp_path, scheme)

    (last,) = (node for node in graph.node if node.name == LAST)
    assert last.input[1] == "weights_3"
    assert last.output[0] == "logits"
