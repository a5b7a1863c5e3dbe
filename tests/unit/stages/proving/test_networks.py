from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from mmdet_jetson.stages.inference.graph import Folded
from mmdet_jetson.stages.proving.constant_shapes import with_constant_shapes
from mmdet_jetson.stages.proving.networks import NetworkNodes, compare_files, compare_networks
from mmdet_jetson.stages.proving.proof import NetworkComparison

# The same network as two exporters write it: constants as nodes or as weights, absent inputs as
# empty tensors or as empty names, other names, and something else before and behind.
FIRST = """<ir_version: 7, opset_import: ["" : 13]>
first (float[1, 3, 8, 8] input) => (float[1, 2, 8, 8] dets)
{
  one = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (input, w0)
  active = Relu (one)
  roi = Constant <value = float[0] {}> ()
  scales = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> ()
  large = Resize <mode = "nearest"> (active, roi, scales)
  two = Conv (large, w1)
  dets = Sigmoid (two)
}"""
SECOND = """<ir_version: 7, opset_import: ["" : 13]>
second (uint8[1, 8, 8, 3] picture) => (float[1, 2, 8, 8] scores)
<float[4] s = {1.0, 1.0, 2.0, 2.0}>
{
  values = Cast <to = 1> (picture)
  pixels = Transpose <perm = [0, 3, 1, 2]> (values)
  a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (pixels, w0)
  b = Relu (a)
  c = Resize <mode = "nearest"> (b, , s)
  d = Conv (c, w1)
  e = Exp (d)
  scores = Neg (e)
}"""
STD = (2.0, 3.0, 5.0)


def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "w0": random.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "w1": random.standard_normal((2, 4, 1, 1)).astype(np.float32),
    }


def save(path: Path, text: str, **tensors: np.ndarray) -> Path:
    model = parser.parse_model(text)
    for name, values in tensors.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    onnx.save(model, str(path))
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return save(tmp_path / "first.onnx", FIRST, **weights())


def test_the_same_network_written_twice_agrees(first: Path, tmp_path: Path) -> None:
    second = save(tmp_path / "second.onnx", SECOND, **weights())

    assert compare_files(first, second, None) == NetworkComparison(4, ())


@pytest.mark.parametrize("flipped", [False, True], ids=["bgr", "rgb"])
def test_what_was_folded_into_the_first_weights_is_taken_out_again(
    first: Path, tmp_path: Path, flipped: bool
) -> None:
    own = weights()
    divided = own["w0"] / np.array(STD, np.float32).reshape(1, 3, 1, 1)
    own["w0"] = np.ascontiguousarray(divided[:, ::-1]) if flipped else divided
    second = save(tmp_path / "second.onnx", SECOND, **own)

    assert compare_files(first, second, Folded(STD, flipped)) == NetworkComparison(4, ())
    for other in (None, Folded(STD, not flipped), Folded((3.0, 2.0, 5.0), flipped)):
        (difference,) = compare_files(first, second, other).differences
        assert "the weights w0 are not w0" in difference


def test_swapped_channels_are_seen(first: Path, tmp_path: Path) -> None:
    own = weights()
    own["w0"] = np.ascontiguousarray(own["w0"][:, ::-1])
    second = save(tmp_path / "second.onnx", SECOND, **own)

    (difference,) = compare_files(first, second, None).differences
    assert "the weights w0 are not w0" in difference


def test_a_first_step_that_takes_the_picture_apart_is_left_as_it_is(tmp_path: Path) -> None:
    """As in YOLOX, whose first convolution sees 12 channels, so that nothing is folded into it."""
    text = """<ir_version: 7, opset_import: ["" : 13]>
    g (float[1, 3, 8, 8] input) => (float[1, 2, 4, 4] dets)
    {
      apart = SpaceToDepth <blocksize = 2> (input)
      a = Conv (apart, w)
      dets = Relu (a)
    }"""
    kernel = np.random.default_rng(1).standard_normal((2, 12, 1, 1)).astype(np.float32)
    first = save(tmp_path / "a.onnx", text, w=kernel)
    second = save(tmp_path / "b.onnx", text.replace("apart", "four"), w=kernel)

    assert compare_files(first, second, None) == NetworkComparison(1, ())


def test_what_a_later_opset_made_an_input_is_the_same_as_an_attribute(tmp_path: Path) -> None:
    """Opset 13 did so with axes; one exporter writes 11 and the other 13."""
    text = """<ir_version: 7, opset_import: ["" : 11]>
    g (float[1, 3, 8, 8] input) => (float[1, 2, 8, 8] dets)
    {
      a = Conv (input, w)
      b = Unsqueeze <axes = [0]> (a)
      c = Squeeze <axes = [0]> (b)
      dets = Conv (c, v)
    }"""
    later = (
        text.replace(": 11]", ": 13]")
        .replace("dets)\n", "dets)\n<int64[1] axes = {0}>", 1)
        .replace("<axes = [0]> (a)", "(a, axes)")
        .replace("<axes = [0]> (b)", "(b, axes)")
    )
    random = np.random.default_rng(2)
    kernels = {
        "w": random.standard_normal((2, 3, 1, 1)).astype(np.float32),
        "v": random.standard_normal((2, 2, 1, 1)).astype(np.float32),
    }
    first, second = (
        save(tmp_path / f"{name}.onnx", each, **kernels)
        for name, each in (("a", text), ("b", later))
    )
    other = save(tmp_path / "c.onnx", later.replace("{0}", "{1}"), **kernels)

    assert compare_files(first, second, None) == NetworkComparison(4, ())
    assert len(compare_files(first, other, None).differences) == 2


def test_weights_that_are_no_numbers_agree_with_nothing(first: Path, tmp_path: Path) -> None:
    own = weights()
    own["w1"][0, 0] = np.nan
    second = save(tmp_path / "second.onnx", SECOND, **own)

    assert len(compare_files(first, second, None).differences) == 1
    assert len(compare_files(second, second, None).differences) == 1


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("b = Relu (a)", "b = Sigmoid (a)", "Relu is not Sigmoid"),
        ("strides = [2, 2]", "strides = [1, 1]", "the attributes"),
        ("c = Resize <mode = \"nearest\"> (b, , s)", "c = Resize <mode = \"nearest\"> (a, , s)", "4 nodes against 3"),
        ("{1.0, 1.0, 2.0, 2.0}", "{1.0, 1.0, 2.0, 1.0}", "the weights scales are not s"),
        ("d = Conv (c, w1)", "x = Relu (c)\n  d = Conv (x, w1)", "4 nodes against 5"),
        ("c, w1)\n", "c, w1)\n  z = Conv (c, w1)\n", "4 nodes against 5"),
    ],
)  # fmt: skip
def test_what_differs_is_named(
    first: Path, tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in SECOND
    second = save(tmp_path / "second.onnx", SECOND.replace(old, new), **weights())

    differences = compare_files(first, second, None).differences

    assert sentence in differences[0]


def test_one_changed_weight_is_seen(first: Path, tmp_path: Path) -> None:
    own = weights()
    own["w1"][1, 2] += 1e-4
    second = save(tmp_path / "second.onnx", SECOND, **own)

    assert compare_files(first, second, None).differences == (
        "Conv against : the weights w1 are not w1",
    )


def test_another_wiring_is_seen(tmp_path: Path) -> None:
    text = """<ir_version: 7, opset_import: ["" : 13]>
    g (float[1, 3, 8, 8] input) => (float[1, 2, 8, 8] dets)
    {
      a = Conv (input, w0)
      b = Relu (a)
      c = Sigmoid (a)
      d = Add (b, c)
      dets = Conv (d, w1)
    }"""
    first = save(tmp_path / "a.onnx", text, **weights())
    second = save(tmp_path / "b.onnx", text.replace("Add (b, c)", "Add (c, b)"), **weights())

    assert compare_files(first, second, None).differences == (
        "Add against : it reads b, the other c",
    )


# Two group norms, as PyTorch 1.11 writes what is around them.
NORMED = """<ir_version: 7, opset_import: ["" : 13]>
g (float[1, 2, 4, 4] x) => (float[N, C, H, W] y)
<int64[3] groups = {0, 1, -1}, float[2, 2, 1, 1] w = {1, 2, 3, 4}>
{
  a = Conv (x, w)
  a1 = Reshape (a, groups)
  a2 = Shape (a)
  a3 = Reshape (a1, a2)
  b = Conv (a3, w)
  b1 = Reshape (b, groups)
  b2 = Shape (b)
  b3 = Reshape (b1, b2)
  y = Conv (b3, w)
}"""


def test_a_shape_that_is_known_behind_another_is_no_difference() -> None:
    """A fused graph has had the first of them computed as it was made."""
    model = parser.parse_model(NORMED)
    once = with_constant_shapes(model)
    assert [node.op_type for node in once.graph.node].count("Shape") == 1
    networks = NetworkNodes(model), NetworkNodes(once)
    assert compare_networks(*networks) == []
    assert [len(each.nodes) for each in networks] == [7, 7]
