"""The preprocessing of a picture in plain ONNX operators, as `Preprocessing` computes it.

A letterbox scales by the longer side of the picture and rounds each new side half up. MMCV computes
that in floating point, this graph in whole numbers, since TensorRT knows no others for sizes. The
two differ only where a side is exactly half way and MMCV's product falls just below it: for a width
and a height up to 4096 never at 320, 640 or 1280 pixels, and in 47 of 8.4 million cases at 96.

A picture is scaled as OpenCV scales 8-bit pictures with INTER_LINEAR: with weights of 11 bits, 4
bits dropped after the horizontal pass and 16 after the vertical one, and a rounding to 8 bits. In
float32 the last products lose their lowest bits, so of a million values a few are 1 of 255 off.
ONNX's own Resize rounds once, at the end: a tenth of the values are 1 off, which cost 0.0015 AP.
"""

from string import Template
from typing import Dict, Iterable, List, Optional

import numpy as np
import onnx
from onnx import numpy_helper, parser

from mmdet_jetson.stages.conversion.fused_nms import IR_VERSION, OPSET
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import IMAGE, LETTERBOXED, TENSOR, Folded
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

INPUTS = (IMAGE, LETTERBOXED, TENSOR)


def check_input(mode: str, preprocessing: Preprocessing, batch: int) -> None:
    """Refuse what cannot be done to a picture in the graph.

    Raises:
        StageError: ``image`` with more than one picture, or with a letterbox that is not square.
    """
    if mode != IMAGE:
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


def fold_into_first_convolution(
    network: onnx.ModelProto, preprocessing: Preprocessing
) -> Optional[Folded]:
    """Let the weights of the first convolution divide by the deviation and turn BGR into RGB.

    Both are exact, also at the borders, where the convolution pads with zeros: 0 divided is 0. The
    mean is not folded: the zeros there would have to become means.

    Returns:
        What was folded; None where the network does not read its ``input`` with a convolution,
        and is as it was.
    """
    readers = [node for node in network.graph.node if "input" in node.input]
    if [node.op_type for node in readers] != ["Conv"]:
        return None
    weights: Dict[str, onnx.TensorProto] = {w.name: w for w in network.graph.initializer}
    tensor = weights[readers[0].input[1]]
    kernel = numpy_helper.to_array(tensor) / np.array(preprocessing.std, np.float32).reshape(
        1, 3, 1, 1
    )
    ordered = kernel[:, ::-1] if preprocessing.to_rgb else kernel
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(ordered), tensor.name))
    return Folded(preprocessing.std, preprocessing.to_rgb)


def preprocessing_graph(
    mode: str, preprocessing: Preprocessing, batch: int, folded: bool
) -> onnx.ModelProto:
    """Write the graph from the inputs of ``mode`` to ``input`` and ``mapping``.

    - ``image``: ``picture`` uint8 [1, height, width, 3], BGR, of any size;
    - ``letterboxed``: ``picture`` uint8 [batch, height, width, 3], BGR, brought to the network's
      size already; only ``input`` is made of it. What is padded after normalising is mostly no
      colour of 8 bits; there ``mapping`` is an input, too, and tells where no picture is.

    ``input`` is [batch, 3, height, width], normalised as far as the network does not do it itself:
    ``folded`` is what `fold_into_first_convolution` said.
    """
    width, height = preprocessing.input_size
    flipped = preprocessing.to_rgb and folded
    pads = preprocessing.pads_normalized or (preprocessing.keep_ratio and mode == IMAGE)
    mapped = preprocessing.pads_normalized and mode == LETTERBOXED
    text = (_IMAGE if mode == IMAGE else _LETTERBOXED).substitute(
        opset=OPSET,
        ir_version=IR_VERSION,
        batch=batch,
        width=width,
        height=height,
        twice=2 * width,
        odd_x=_listed(2.0 * place + 1 for place in range(width)),
        odd_y=_listed(2.0 * place + 1 for place in range(height)),
        place_x=_listed(map(float, range(width))),
        place_y=_listed(map(float, range(height))),
        source_x=_SOURCE.substitute(axis="x", side="width_number", new="new_width"),
        source_y=_SOURCE.substitute(axis="y", side="height_number", new="new_height"),
        weights_x=_WEIGHTS.substitute(axis="x", share="share_x"),
        weights_y=_WEIGHTS.substitute(axis="y", share="part_y"),
        left=_COLUMNS.substitute(name="left", given="left_weight"),
        right=_COLUMNS.substitute(name="right", given="right_weight"),
        upper_row=_ROW.substitute(row="upper", rows="first_y"),
        lower_row=_ROW.substitute(row="lower", rows="second_y"),
        padding=_listed(_padding(preprocessing, folded)),
        inputs=f", float[{batch}, 4] mapping" if mapped else "",
        sizes=_SIZES if mapped else "",
        order="2, 1, 0" if preprocessing.to_rgb else "0, 1, 2",
        mean=_listed(preprocessing.mean[::-1] if flipped else preprocessing.mean),
        std=_listed(preprocessing.std),
        fitted=_LETTERBOX if preprocessing.keep_ratio else _STRETCH,
        normalized=_FOLDED if folded else _UNFOLDED,
        padded=_PADDED if pads else "input = Identity (normalized)",
    )
    model = parser.parse_model(text)
    onnx.checker.check_model(model)
    return model


def _padding(preprocessing: Preprocessing, folded: bool) -> List[float]:
    """Give what ``input`` has where no picture is, for each channel."""
    padding = preprocessing.padding()
    if folded:
        padding *= np.array(preprocessing.std, np.float32)
        padding = padding[::-1] if preprocessing.to_rgb else padding
    return list(map(float, padding))


def _listed(values: Iterable[float]) -> str:
    return ", ".join(map(repr, values))


# TensorRT wants a Cast to be the only operator on 8-bit values: the size is that of what it makes.
_IMAGE = Template(
    """<ir_version: $ir_version, opset_import: ["" : $opset]>
preprocessing (uint8[1, height, width, 3] picture)
=> (float[1, 3, $height, $width] input, float[1, 4] mapping)
<
  int64[1] from_height = {1}, int64[1] to_channels = {3}, int64[1] least = {1}, int64[1] two = {2},
  int64[1] twice_side = {$twice}, int64[2] input_size = {$height, $width},
  float[1] zero = {0.0}, float[1] one = {1.0}, float[1] twice = {2.0}, float[1] half = {0.5},
  float[1] quarter = {0.25}, float[1] weight_one = {2048.0}, float[1] sixteen = {16.0},
  float[1] one_65536th = {0.0000152587890625}, float[1, 3, 1, 1] padding = {$padding},
  float[$width] odd_x = {$odd_x}, float[$height] odd_y = {$odd_y},
  float[$width] place_x = {$place_x}, float[$height] place_y = {$place_y},
  int64[2] as_list = {$width, 1}, int64[2] in_channels = {$width, 3},
  int64[3] as_columns = {1, 1, -1}, int64[3] as_rows = {1, $height, 1},
  int64[3] as_lines = {1, $height, -1}, int64[4] as_pixels = {1, $height, $width, 3},
  int64[4] as_plane_columns = {-1, 1, 1, $width}, int64[4] as_plane_rows = {-1, 1, $height, 1},
  int64[4] mapping_order = {1, 0, 3, 2}, int64[2] mapping_shape = {1, 4},
  int64[3] order = {$order}, float[1, 3, 1, 1] mean = {$mean}, float[1, 3, 1, 1] std = {$std}
>
{
  values = Cast <to = 1> (picture)
  shape = Shape (values)
  size = Slice (shape, from_height, to_channels)
  $fitted
  size_number = Cast <to = 1> (size)
  new_size_number = Cast <to = 1> (new_size)
  height_number, width_number = Split <axis = 0> (size_number)
  new_height, new_width = Split <axis = 0> (new_size_number)
  last_x = Sub (width_number, one)
  last_y = Sub (height_number, one)
$source_x
$source_y
  is_left = Less (floor_x, zero)
  is_right = GreaterOrEqual (floor_x, last_x)
  is_edge = Or (is_left, is_right)
  share_x = Where (is_edge, zero, part_x)
$weights_x
$weights_y
  left_weight = Div (first_weight_x, sixteen)
  right_weight = Div (second_weight_x, sixteen)
  upper_weight = Mul (first_weight_y, one_65536th)
  lower_weight = Mul (second_weight_y, one_65536th)
$left
$right
  upper = Reshape (upper_weight, as_rows)
  lower = Reshape (lower_weight, as_rows)
$upper_row
$lower_row
  quarters = Add (upper_part, lower_part)
  levels = Mul (quarters, quarter)
  levels_and_half = Add (levels, half)
  scaled = Floor (levels_and_half)
  fitted = Reshape (scaled, as_pixels)
  pixels = Transpose <perm = [0, 3, 1, 2]> (fitted)
  $normalized
  $padded
  ratio = Div (size_number, new_size_number)
  by_height = Concat <axis = 0> (ratio, size_number)
  by_width = Gather <axis = 0> (by_height, mapping_order)
  mapping = Reshape (by_width, mapping_shape)
}"""
)

# Where a new pixel's middle lies in the picture, as ((2 * place + 1) * side - new) / (2 * new): one
# rounding, as in OpenCV, which computes it with doubles and keeps a float.
_SOURCE = Template(
    """  scaled_$axis = Mul (odd_$axis, $side)
  numerator_$axis = Sub (scaled_$axis, $new)
  denominator_$axis = Mul ($new, twice)
  source_$axis = Div (numerator_$axis, denominator_$axis)
  floor_$axis = Floor (source_$axis)
  part_$axis = Sub (source_$axis, floor_$axis)
  next_$axis = Add (floor_$axis, one)
  first_not_negative_$axis = Max (floor_$axis, zero)
  next_not_negative_$axis = Max (next_$axis, zero)
  first_number_$axis = Min (first_not_negative_$axis, last_$axis)
  next_number_$axis = Min (next_not_negative_$axis, last_$axis)
  first_$axis = Cast <to = 7> (first_number_$axis)
  second_$axis = Cast <to = 7> (next_number_$axis)"""
)

_WEIGHTS = Template(
    """  rest_$axis = Sub (one, $share)
  first_exact_$axis = Mul (rest_$axis, weight_one)
  second_exact_$axis = Mul ($share, weight_one)
  first_weight_$axis = Round (first_exact_$axis)
  second_weight_$axis = Round (second_exact_$axis)"""
)

# What holds for a column holds for its three channels. Lines of width * 3 values are several times
# faster on a CPU than pixels of 3.
_COLUMNS = Template(
    """  ${name}_column = Reshape ($given, as_list)
  ${name}_channels = Expand (${name}_column, in_channels)
  $name = Reshape (${name}_channels, as_columns)"""
)

_ROW = Template(
    """  ${row}_rows = Gather <axis = 1> (values, $rows)
  ${row}_left_pixels = Gather <axis = 2> (${row}_rows, first_x)
  ${row}_right_pixels = Gather <axis = 2> (${row}_rows, second_x)
  ${row}_left = Reshape (${row}_left_pixels, as_lines)
  ${row}_right = Reshape (${row}_right_pixels, as_lines)
  ${row}_left_part = Mul (${row}_left, left)
  ${row}_right_part = Mul (${row}_right, right)
  ${row}_mixed = Add (${row}_left_part, ${row}_right_part)
  ${row}_whole = Floor (${row}_mixed)
  ${row}_weighted = Mul (${row}_whole, $row)
  ${row}_part = Floor (${row}_weighted)"""
)

_LETTERBOXED = Template(
    """<ir_version: $ir_version, opset_import: ["" : $opset]>
preprocessing (uint8[$batch, $height, $width, 3] picture$inputs)
=> (float[$batch, 3, $height, $width] input)
<
  float[$width] place_x = {$place_x}, float[$height] place_y = {$place_y},
  int64[4] as_plane_columns = {-1, 1, 1, $width}, int64[4] as_plane_rows = {-1, 1, $height, 1},
  int64[3] order = {$order}, float[1, 3, 1, 1] mean = {$mean}, float[1, 3, 1, 1] std = {$std},
  float[1, 3, 1, 1] padding = {$padding}
>
{
  fitted = Cast <to = 1> (picture)
  pixels = Transpose <perm = [0, 3, 1, 2]> (fitted)
  $normalized
$sizes
  $padded
}"""
)

# A ratio is a quotient that was rounded, so what it gives back is a whole number but for that.
_SIZES = """
  ratio_x, ratio_y, real_width, real_height = Split <axis = 1> (mapping)
  exact_width = Div (real_width, ratio_x)
  exact_height = Div (real_height, ratio_y)
  new_width = Round (exact_width)
  new_height = Round (exact_height)"""

_PADDED = """
  is_column_list = Less (place_x, new_width)
  is_row_list = Less (place_y, new_height)
  is_column = Reshape (is_column_list, as_plane_columns)
  is_row = Reshape (is_row_list, as_plane_rows)
  is_picture = And (is_row, is_column)
  input = Where (is_picture, normalized, padding)"""

# New sides are (2 * side * input / longer + 1) / 2 in whole numbers, at least 1. Of whole numbers
# TensorRT before 10.1 promises no ReduceMax.
_LETTERBOX = """
  height_side, width_side = Split <axis = 0> (size)
  longer = Max (height_side, width_side)
  twice_longer = Mul (longer, two)
  scaled_twice = Mul (size, twice_side)
  rounding = Add (scaled_twice, longer)
  rounded_size = Div (rounding, twice_longer)
  new_size = Max (rounded_size, least)"""

_STRETCH = "new_size = Identity (input_size)"

_FOLDED = "normalized = Sub (pixels, mean)"

_UNFOLDED = """
  ordered = Gather <axis = 1> (pixels, order)
  centred = Sub (ordered, mean)
  normalized = Div (centred, std)"""
