"""Every operator of an exported RTMDet runs in this ONNX Runtime, and computes what it should.

The operators are those that MMDeploy 1.0.0 exports at opset 11, and those that fused graphs add at
opset 13, in 8 bits too. What each should give is worked out by hand or by NumPy.
"""

from types import MappingProxyType
from typing import List, Mapping, NamedTuple, Sequence, Union

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
}


def floats(values: object) -> np.ndarray:
    return np.array(values, np.float32)


SQUARE = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
ROW = np.array([[-4.0, 0.5, 3.0, 1.0]], np.float32)
EMPTY = np.array([], np.float32)
ONE = floats([[1]])
LEVELS = np.array([[0, 9, 14, 10]], np.uint8)  # ROW in steps of a half, with 8 for its zero
SCALE, ZERO = np.float32(0.5), np.uint8(8)
DOCUMENTED, FUSED = 11, 13


class Case(NamedTuple):
    operator: str
    given: Sequence[Union[np.ndarray, np.float32, np.uint8]]
    wanted: np.ndarray
    attributes: Mapping[str, object] = MappingProxyType({})
    opset: int = DOCUMENTED


CASES = [
    Case("Add", [ROW, ROW], 2 * ROW),
    Case("Cast", [ROW], np.array([[-4, 0, 3, 1]]), {"to": TensorProto.INT64}),
    Case("Concat", [ROW, ROW], np.vstack([ROW, ROW]), {"axis": 0}),
    Case("Conv", [SQUARE, np.ones((1, 1, 2, 2), np.float32)], floats([[[[10, 18], [42, 50]]]]), {"strides": [2, 2]}),
    Case("Expand", [ROW, np.array([2, 4])], np.vstack([ROW, ROW])),
    Case("Flatten", [SQUARE], SQUARE.reshape(1, 16)),
    Case("Gather", [ROW, np.array([2, 0])], ROW[:, [2, 0]], {"axis": 1}),
    Case("GlobalAveragePool", [SQUARE], floats([[[[7.5]]]])),
    Case("HardSigmoid", [ROW], np.clip(ROW / 6 + 0.5, 0, 1), {"alpha": 1 / 6, "beta": 0.5}),
    Case("Less", [ROW, floats([[1]])], ROW < 1),
    Case("MaxPool", [SQUARE], floats([[[[5, 7], [13, 15]]]]), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("Mul", [ROW, ROW], ROW * ROW),
    Case(
        "NonMaxSuppression",
        # The second box lies in the first, the third apart from both.
        [floats([[[0, 0, 10, 10], [0, 0, 9, 9], [20, 20, 30, 30]]]), floats([[[0.9, 0.8, 0.7]]]),
         np.array([200]), floats([0.65]), floats([0.001])],
        np.array([[0, 0, 0], [0, 0, 2]]),
    ),
    Case("ReduceMax", [ROW], floats([[3]]), {"axes": [1]}),
    Case("Reshape", [ROW, np.array([2, -1])], ROW.reshape(2, 2)),
    Case(
        "Resize", [SQUARE[..., :2, :2], EMPTY, floats([1, 1, 2, 2])],
        SQUARE[..., :2, :2].repeat(2, 2).repeat(2, 3),
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    Case("Shape", [SQUARE], np.array([1, 1, 4, 4])),
    Case("Sigmoid", [ROW], 1 / (1 + np.exp(-ROW))),
    Case("Squeeze", [ROW], ROW[0], {"axes": [0]}),
    Case("Sub", [ROW, ROW], 0 * ROW),
    Case("Transpose", [ROW], ROW.T, {"perm": [1, 0]}),
    Case("Unsqueeze", [ROW], ROW[None], {"axes": [0]}),
    Case("Where", [ROW < 1, ROW, 0 * ROW], np.where(ROW < 1, ROW, 0)),
    Case("Abs", [ROW], np.abs(ROW), opset=FUSED),
    Case("And", [ROW < 1, ROW > 0], (ROW < 1) & (ROW > 0), opset=FUSED),
    Case("Cast", [LEVELS], LEVELS, {"to": TensorProto.FLOAT}, FUSED),
    Case("ConstantOfShape", [np.array([2])], np.zeros(2), opset=FUSED),
    Case("DequantizeLinear", [LEVELS, SCALE, ZERO], ROW, opset=FUSED),
    Case("Div", [ROW, ROW], ROW / ROW, opset=FUSED),
    Case("Equal", [ROW, ONE], ROW == 1, opset=FUSED),
    Case("Floor", [ROW], np.floor(ROW), opset=FUSED),
    Case("GatherElements", [ROW, np.array([[2, 0]])], ROW[:, [2, 0]], {"axis": 1}, FUSED),
    Case("Greater", [ROW, ONE], ROW > 1, opset=FUSED),
    Case("GreaterOrEqual", [ROW, ONE], ROW >= 1, opset=FUSED),
    Case("Identity", [ROW], ROW, opset=FUSED),
    Case("MatMul", [ROW, ROW.T], floats([[26.25]]), opset=FUSED),
    Case("Max", [ROW, ONE], np.maximum(ROW, 1), opset=FUSED),
    Case("Min", [ROW, ONE], np.minimum(ROW, 1), opset=FUSED),
    Case("Or", [ROW < 0, ROW > 2], (ROW < 0) | (ROW > 2), opset=FUSED),
    Case("QuantizeLinear", [ROW, SCALE, ZERO], LEVELS, opset=FUSED),
    Case("ReduceSum", [ROW, np.array([1])], floats([[0.5]]), opset=FUSED),
    Case("Relu", [ROW], np.maximum(ROW, 0), opset=FUSED),
    Case("Round", [ROW], np.round(ROW), opset=FUSED),
    Case("Slice", [ROW, np.array([1]), np.array([3]), np.array([1])], ROW[:, 1:3], opset=FUSED),
]  # fmt: skip


def run_one(case: Case, outputs: int) -> List[np.ndarray]:
    names = [f"input{number}" for number in range(len(case.given))]
    node = helper.make_node(
        case.operator, names, [f"output{number}" for number in range(outputs)], **case.attributes
    )
    given = [np.asarray(each) for each in case.given]
    first = helper.make_tensor_value_info(names[0], TYPES[given[0].dtype.name], given[0].shape)
    graph = helper.make_graph(
        [node], "one", [first], [helper.make_empty_tensor_value_info(name) for name in node.output],
        [numpy_helper.from_array(each, name) for each, name in zip(given[1:], names[1:])],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=7
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: List[np.ndarray] = session.run(None, {names[0]: given[0]})
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operator}-{case.opset}")
def test_an_operator(case: Case) -> None:
    (found,) = run_one(case, 1)
    np.testing.assert_allclose(found, case.wanted, rtol=1e-5, atol=1e-6)


def test_top_k() -> None:
    values, indices = run_one(Case("TopK", [ROW, np.array([2])], EMPTY, {"axis": 1}), 2)
    assert values.tolist() == [[3, 1]]
    assert indices.tolist() == [[2, 3]]


def test_split() -> None:
    left, right = run_one(Case("Split", [ROW], EMPTY, {"axis": 1}, FUSED), 2)
    assert (left.tolist(), right.tolist()) == ([[-4, 0.5]], [[3, 1]])
