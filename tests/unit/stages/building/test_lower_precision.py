from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from built_engines import fixed_network
from fused import fused_model
from onnx import TensorProto, numpy_helper

from mmdet_jetson.stages.building.lower_precision import (
    last_convolutions,
    lowered_nodes,
    to_bfloat16,
    to_half,
)
from mmdet_jetson.stages.engines.comparison import example_inputs
from mmdet_jetson.stages.errors import StageError


def test_only_convolutions_and_what_one_still_follows_are_lowered() -> None:
    assert lowered_nodes(fused_model()) == {"network/conv_0", "network/relu", "network/conv_1"}


def test_a_graph_without_parts_is_refused(tmp_path: Path) -> None:
    fixed_network(tmp_path / "documented.onnx")

    with pytest.raises(StageError, match="does not tell its network"):
        lowered_nodes(onnx.load(str(tmp_path / "documented.onnx")))


def types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def test_half_precision_begins_and_ends_inside_the_network() -> None:
    before, after = fused_model(), to_half(fused_model())

    onnx.checker.check_model(after, full_check=True)
    halves = {name for name, kind in types(after).items() if kind == TensorProto.FLOAT16}
    assert halves == {"input/half", "maps/half", "positive/half", "logits/half"}
    casts = [node for node in after.graph.node if node.op_type == "Cast"]
    assert [node.output[0] for node in casts] == ["values", "input/half", "logits"]
    # Without a name builders would call them after values of other parts.
    assert [n.name for n in casts[1:]] == ["network/to_half/input", "network/to_float/logits"]
    assert after.graph.input == before.graph.input
    assert after.graph.output == before.graph.output
    stored = {weight.name: weight.data_type for weight in after.graph.initializer}
    assert stored["weights_0/half"] == TensorProto.FLOAT16
    assert "weights_0" not in stored


def test_bfloat16_is_where_half_precision_would_be() -> None:
    half, small = to_half(fused_model()), to_bfloat16(fused_model())

    names = [
        [name.replace("/bfloat16", "/half") for node in model.graph.node for name in node.output]
        for model in (half, small)
    ]
    assert names[0] == names[1]
    stored = {weight.name: weight for weight in small.graph.initializer}
    exact = {weight.name: weight for weight in fused_model().graph.initializer}
    lowered = stored["weights_0/bfloat16"]
    assert lowered.data_type == TensorProto.BFLOAT16
    weights = numpy_helper.to_array(exact["weights_0"])
    rounded = numpy_helper.to_array(lowered).astype(np.float32)
    assert 0 < np.abs(rounded / weights - 1).max() <= 2**-8


def test_the_last_convolutions_are_those_that_no_other_follows() -> None:
    assert last_convolutions(fused_model()) == {"network/conv_1"}


def test_half_precision_finds_nearly_the_same() -> None:
    inputs = dict(zip(("picture", "mapping"), example_inputs(fused_model()), strict=True))
    dets = [
        ort.InferenceSession(model.SerializeToString()).run(["dets"], inputs)[0]
        for model in (fused_model(), to_half(fused_model()))
    ]

    assert np.array_equal(dets[0][..., :4], dets[1][..., :4])
    assert 0 < np.abs(dets[0] - dets[1]).max() < 2e-3


def test_a_weight_beyond_half_precision_is_named() -> None:
    model = fused_model()
    for weight in model.graph.initializer:
        if weight.name == "weights_1":
            large = numpy_helper.to_array(weight) * np.float32(1e6)
            weight.CopyFrom(numpy_helper.from_array(large, weight.name))

    with pytest.raises(StageError, match=r"weights_1 holds .* too much for fp16"):
        to_half(model)


def test_a_value_that_is_read_in_both_precisions_is_kept_in_both() -> None:
    model = fused_model()
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("positive", TensorProto.FLOAT, [1, 4, 31, 31])
    )

    after = to_half(model)

    onnx.checker.check_model(after, full_check=True)
    assert types(after)["positive"] == TensorProto.FLOAT
