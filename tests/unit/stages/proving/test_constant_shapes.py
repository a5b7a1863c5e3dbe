import numpy as np
import onnx
import onnxruntime as ort
from onnx import parser

from mmdet_jetson.stages.proving.constant_shapes import with_constant_shapes

# What PyTorch 1.11 makes of `x.expand_as(y)`, and a size that only a run tells.
TEXT = """<ir_version: 7, opset_import: ["" : 13]>
g (float[1, 3] x, float[2, 3] y, float[N, 3] z) => (float[2, 3] wide, int64[2] free, float[M] ones)
<int64[1] minus = {-1}, int64[1] first = {0}, int64[1] one = {1}>
{
  same = Identity (y)
  shape = Shape (same)
  rank = Shape (shape)
  units = ConstantOfShape <value = int64[1] {1}> (rank)
  negative = Mul (units, minus)
  is_negative = Equal (shape, negative)
  sizes = Where (is_negative, units, shape)
  wide = Expand (x, sizes)
  free = Shape (z)
  length = Slice (free, first, one)
  ones = ConstantOfShape (length)
}"""


def test_what_is_known_is_computed_and_the_rest_is_left() -> None:
    model = parser.parse_model(TEXT)

    folded = with_constant_shapes(model)

    onnx.checker.check_model(folded, full_check=True)
    left = [node.op_type for node in folded.graph.node]
    assert left == ["Identity", "Expand", "Shape", "Slice", "ConstantOfShape"]
    random = np.random.default_rng(0)
    inputs = {
        name: random.standard_normal((rows, 3)).astype(np.float32)
        for name, rows in (("x", 1), ("y", 2), ("z", 5))
    }
    expected, found = (
        ort.InferenceSession(each.SerializeToString()).run(None, inputs) for each in (model, folded)
    )
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)
