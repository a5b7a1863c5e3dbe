"""The preprocessing of a picture in plain ONNX operators, as `Preprocessing` computes it.

A letterbox scales by the longer side of the picture and rounds each new side half up. MMCV computes
that in floating point, this graph in whole numbers, since TensorRT knows no others for sizes. The
two differ only where a side is exactly half way and MMCV's product falls just below it: for a width
and a height up to 4096 never at 320, 640 or 1280 pixels, and in 47 of 8.4 million cases at 96.

OpenCV scales 8-bit pictures with weights of 11 bits and drops bits below a quarter between its two
passes; the graph scales in float32 and rounds once, so that a value may differ by 1 of 255.
"""

from string import Template
from typing import Dict, Iterable

import numpy as np
import onnx
from onnx import numpy_helper, parser

from mmdet_jetson.stages.conversion.fused_nms import IR_VERSION, OPSET
from mmdet_jetson.stages.detection.preprocessing import Preprocessing
from mmdet_jetson.stages.job import StageError

INPUTS = ("image", "letterboxed", "tensor")


def check_input(mode: str, preprocessing: Preprocessing, batch: int) -> None:
    """Refuse what cannot be done to a picture in the graph.

    Raises:
        StageError: ``image`` with more than one picture, or with a letterbox that is not square or
            padded with a colour.
    """
    if mode != "image":
        return
    width, height = preprocessing.input_size
    advice = 'set input = "letterboxed" for the target in targets.toml'
    if batch > 1:
        raise StageError(f"pictures of any size cannot share a batch, and batch is {batch}", advice)
    if preprocessing.keep_ratio and width != height:
        raise StageError(
            "a graph can fit a picture that keeps its ratio into a square only, not into "
            f"{width}x{height}",
            advice,
        )
    if preprocessing.keep_ratio and len(set(preprocessing.pad_value)) > 1:
        raise StageError(
            f"a graph can pad with a grey value only, not with {preprocessing.pad_value}", advice
        )


def fold_into_first_convolution(network: onnx.ModelProto, preprocessing: Preprocessing) -> bool:
    """Let the weights of the first convolution divide by the deviation and turn BGR into RGB.

    Both are exact, also at the borders, where the convolution pads with zeros: 0 divided is 0. The
    mean is not folded: the zeros there would have to become means.

    Returns:
        Whether the network reads its ``input`` with a convolution, and so was changed.
    """
    readers = [node for node in network.graph.node if "input" in node.input]
    if [node.op_type for node in readers] != ["Conv"]:
        return False
    weights: Dict[str, onnx.TensorProto] = {w.name: w for w in network.graph.initializer}
    tensor = weights[readers[0].input[1]]
    kernel = numpy_helper.to_array(tensor) / np.array(preprocessing.std, np.float32).reshape(
        1, 3, 1, 1
    )
    ordered = kernel[:, ::-1] if preprocessing.to_rgb else kernel
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(ordered), tensor.name))
    return True


def preprocessing_graph(
    mode: str, preprocessing: Preprocessing, batch: int, folded: bool
) -> onnx.ModelProto:
    """Write the graph from the inputs of ``mode`` to ``input`` and ``mapping``.

    - ``image``: ``picture`` uint8 [1, height, width, 3], BGR, of any size;
    - ``letterboxed``: ``picture`` uint8 [batch, height, width, 3], BGR, brought to the network's
      size already; only ``input`` is made of it.

    ``input`` is [batch, 3, height, width], normalised as far as the network does not do it itself:
    ``folded`` is what `fold_into_first_convolution` said.
    """
    width, height = preprocessing.input_size
    flipped = preprocessing.to_rgb and folded
    text = (_IMAGE if mode == "image" else _LETTERBOXED).substitute(
        opset=OPSET,
        ir_version=IR_VERSION,
        batch=batch,
        width=width,
        height=height,
        twice=2 * width,
        pad=preprocessing.pad_value[0],
        order="2, 1, 0" if preprocessing.to_rgb else "0, 1, 2",
        mean=_listed(preprocessing.mean[::-1] if flipped else preprocessing.mean),
        std=_listed(preprocessing.std),
        fitted=_LETTERBOX if preprocessing.keep_ratio else _STRETCH,
        normalized=_FOLDED if folded else _UNFOLDED,
    )
    model = parser.parse_model(text)
    onnx.checker.check_model(model)
    return model


def _listed(values: Iterable[float]) -> str:
    return ", ".join(map(repr, values))


# TensorRT wants a Cast to be the first operator on 8-bit values.
_IMAGE = Template(
    """<ir_version: $ir_version, opset_import: ["" : $opset]>
preprocessing (uint8[1, height, width, 3] picture)
=> (float[1, 3, $height, $width] input, float[1, 4] mapping)
<
  int64[1] from_height = {1}, int64[1] to_channels = {3}, int64[1] one = {1}, int64[1] two = {2},
  int64[1] twice_side = {$twice}, int64[1] three = {3},
  int64[2] input_size = {$height, $width}, int64[5] no_pads = {0, 0, 0, 0, 0},
  int64[1] no_pad = {0}, float half = {0.5}, float pad_value = {$pad},
  int64[4] input_shape = {1, $height, $width, 3},
  int64[4] mapping_order = {1, 0, 3, 2}, int64[2] mapping_shape = {1, 4},
  int64[3] order = {$order}, float[1, 3, 1, 1] mean = {$mean}, float[1, 3, 1, 1] std = {$std}
>
{
  values = Cast <to = 1> (picture)
  shape = Shape (picture)
  size = Slice (shape, from_height, to_channels)
  $fitted
  pixels = Transpose <perm = [0, 3, 1, 2]> (fitted)
  $normalized
  size_number = Cast <to = 1> (size)
  new_size_number = Cast <to = 1> (new_size)
  ratio = Div (size_number, new_size_number)
  by_height = Concat <axis = 0> (ratio, size_number)
  by_width = Gather <axis = 0> (by_height, mapping_order)
  mapping = Reshape (by_width, mapping_shape)
}"""
)

_LETTERBOXED = Template(
    """<ir_version: $ir_version, opset_import: ["" : $opset]>
preprocessing (uint8[$batch, $height, $width, 3] picture)
=> (float[$batch, 3, $height, $width] input)
<
  int64[3] order = {$order}, float[1, 3, 1, 1] mean = {$mean}, float[1, 3, 1, 1] std = {$std}
>
{
  fitted = Cast <to = 1> (picture)
  pixels = Transpose <perm = [0, 3, 1, 2]> (fitted)
  $normalized
}"""
)

_LINEAR = 'mode = "linear", coordinate_transformation_mode = "half_pixel"'

# New sides are (2 * side * input / longer + 1) / 2 in whole numbers, at least 1.
_LETTERBOX = f"""
  longer = ReduceMax <keepdims = 1> (size)
  twice_longer = Mul (longer, two)
  scaled_twice = Mul (size, twice_side)
  rounding = Add (scaled_twice, longer)
  rounded_size = Div (rounding, twice_longer)
  new_size = Max (rounded_size, one)
  new_shape = Concat <axis = 0> (one, new_size, three)
  scaled = Resize <{_LINEAR}> (values, , , new_shape)
  scaled_and_half = Add (scaled, half)
  whole = Floor (scaled_and_half)
  missing = Sub (input_size, new_size)
  pads = Concat <axis = 0> (no_pads, missing, no_pad)
  padded = Pad (whole, pads, pad_value)
  fitted = Reshape (padded, input_shape)"""

_STRETCH = f"""
  new_size = Identity (input_size)
  scaled = Resize <{_LINEAR}> (values, , , input_shape)
  scaled_and_half = Add (scaled, half)
  fitted = Floor (scaled_and_half)"""

_FOLDED = "input = Sub (pixels, mean)"

_UNFOLDED = """
  ordered = Gather <axis = 1> (pixels, order)
  centred = Sub (ordered, mean)
  input = Div (centred, std)"""
