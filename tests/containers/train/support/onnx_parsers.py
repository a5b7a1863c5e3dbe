"""What TensorRT's ONNX parsers promise, version by version, and a graph held against it.

No Jetson is at hand, and NVIDIA's builder starts on a GPU only. What can be known without one is
what the parser of each TensorRT documents, and that is less than what it happens to take.

Sources, read on 2026-11-26:

- operators and types: ``docs/operators.md`` of github.com/onnx/onnx-tensorrt, on the branches 8.4-GA
  (63d626b6), 8.5-GA (fdeeaca8), 8.6-GA (ee0b139b) and 10.1-GA (96e78110). Those of 10.3 and 10.13
  were not to be had; 10.15's has the same rows as 10.1's for every operator that a fused graph of
  ours has, so these two stand between them.
- 8-bit inputs: ``docs/Changelog.md`` there (networks with UINT8 inputs from 8.5 on); NVIDIA/TensorRT
  issue 3985 (nothing but a Cast may read one); ``ModelImporter.cpp`` of 8.6-GA (no node may make one
  that is no output of the network).
- whole numbers: the note in ``operators.md`` up to 8.6 (INT64 is read as INT32, DOUBLE as FP32).
- TopK: ``builtin_op_importers.cpp`` of 8.4-GA passes on ``kMAX`` whatever ``largest`` is, that of
  8.5-GA does not; K has to be an initializer up to 8.5 and at most 3840 (the restriction in 10.1's
  ``operators.md``; TensorRT for RTX 1.7.1 refuses 3841 with that number).
- Q/DQ: the restrictions of QuantizeLinear and DequantizeLinear (a zero point of zero).
- reductions, Slice, Squeeze and Unsqueeze: the restrictions of these (axes are initializers).
- opsets: the first line of each file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mmdet_jetson.stages.building.lower_precision import to_half
from mmdet_jetson.stages.inference.graph import TENSOR

IN_8_6: Mapping[str, str] = {
    "FP32 FP16 INT32": (
        "Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less "
        "LessOrEqual Max Mean Min Mod Mul Neg Range Shrink SpaceToDepth Sub Sum TopK"
    ),
    "FP32 FP16": (
        "Acos Acosh Asin Asinh Atan Atanh BatchNormalization Ceil Celu Cos Cosh CumSum "
        "Dropout Einsum Erf Exp Floor GRU GridSample GroupNormalization ImageScaler "
        "InstanceNormalization IsInf LRN LSTM LayerNormalization Log LogSoftmax "
        "LpNormalization MatMul MeanVarianceNormalization NonMaxSuppression NonZero Pow "
        "QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike "
        "Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean "
        "ReduceMin ReduceProd ReduceSum ReduceSumSquare Resize RoiAlign Scan Sin Sinh "
        "Softmax Sqrt Tan Upsample"
    ),
    "BOOL": "And Not Or Xor",
    "FP32 FP16 INT8 INT32": "AveragePool Pad Scatter ScatterElements ScatterND Sign",
    "FP32 FP16 INT8 UINT8 INT32 BOOL": "Cast",
    "FP32 FP16 INT8": (
        "Clip Conv ConvTranspose Elu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool "
        "HardSigmoid HardSwish LeakyRelu LpPool MaxPool PRelu ParametricSoftplus Relu "
        "Round ScaledTanh Selu Sigmoid Softplus Softsign Tanh ThresholdedRelu"
    ),
    "FP32 FP16 INT8 INT32 BOOL": (
        "Concat Constant Gather GatherElements GatherND Identity Reshape ReverseSequence "
        "Shape Size Slice Squeeze Transpose Trilu Unsqueeze"
    ),
    "FP32": "ConstantOfShape",
    "INT8": "DequantizeLinear",
    "FP32 FP16 INT32 BOOL": "Expand EyeLike Flatten If Loop OneHot Split Tile Where",
}
IN_10_1: Mapping[str, str] = {
    "FP32 FP16 BF16 INT32 INT64": (
        "Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less "
        "LessOrEqual Max Min Mod Mul Neg Pad Range ReduceL1 ReduceL2 ReduceLogSum "
        "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
        "ReduceSumSquare Relu Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth "
        "Sub Sum TopK"
    ),
    "FP32 FP16 BF16": (
        "Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip "
        "Conv ConvTranspose Cos Cosh CumSum Dropout Einsum Elu Erf Exp Floor GRU Gemm "
        "GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid "
        "HardSwish Hardmax ImageScaler InstanceNormalization IsInf LRN LSTM "
        "LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul "
        "MaxPool MeanVarianceNormalization PRelu ParametricSoftplus Pow QuantizeLinear "
        "RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal "
        "Resize Round ScaledTanh Scan Selu Sigmoid Sin Sinh Softmax Softplus Softsign "
        "Sqrt Tan Tanh ThresholdedRelu Upsample"
    ),
    "BOOL": "And Not Or Xor",
    "FP32 FP16 BF16 UINT8 INT32 INT64 BOOL": "Cast CastLike",
    "FP32 FP16 BF16 INT32 INT64 BOOL": (
        "Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements "
        "GatherND Identity If Loop OneHot Reshape ReverseSequence Shape Size Slice Split "
        "Squeeze Tile Transpose Trilu Unsqueeze Where"
    ),
    "FP32 FP16": "DeformConv GridSample Mish NonMaxSuppression NonZero RoiAlign",
    "FP8 INT4 INT8": "DequantizeLinear",
    "FP32 FP16 BF16 INT8 INT32 INT64": "Gelu",
    "FP32 FP16 BF16 FP8 INT32 INT64": "Mean",
}


@dataclass(frozen=True)
class Parser:
    """What one version documents: the types of each operator, and the opsets it reads."""

    version: tuple[int, int]
    types: Mapping[str, frozenset[str]]
    opsets: range


def listed(*tables: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """Give the types by operator; a later table overrules an earlier one."""
    return {
        operator: frozenset(types.split())
        for table in tables
        for types, operators in table.items()
        for operator in operators.split()
    }


TO_8_4 = {
    "FP32 FP16": "ArgMax ArgMin HardSwish ReverseSequence TopK",
    "FP32 FP16 INT8 INT32 BOOL": "Cast",
    "FP32 FP16 INT8 INT32": "Gather GatherElements GatherND",
    "": (
        "GridSample GroupNormalization IsInf LayerNormalization MeanVarianceNormalization "
        "Mod NonZero OneHot RoiAlign Trilu"
    ),
}
# The file's Cast has no UINT8, but its changelog has networks that take it.
TO_8_5 = {
    "FP32 FP16": "ArgMax ArgMin ReverseSequence TopK",
    "": "GroupNormalization IsInf LayerNormalization",
}
PARSERS = {
    "8.4": Parser((8, 4), listed(IN_8_6, TO_8_4), range(7, 18)),
    "8.5": Parser((8, 5), listed(IN_8_6, TO_8_5), range(7, 18)),
    "8.6": Parser((8, 6), listed(IN_8_6), range(7, 18)),
    "10.3": Parser((10, 3), listed(IN_10_1), range(9, 21)),
    "10.13": Parser((10, 13), listed(IN_10_1), range(9, 21)),
}
NAMES = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.INT8: "INT8",
    TensorProto.UINT8: "UINT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.BOOL: "BOOL",
}
# Before 9 there is no INT64: the parser narrows what it reads.
NARROWED = {"INT64": "INT32"}
MOST_CANDIDATES = 3840
# Which input has to be an initializer, and in which versions still.
INITIALIZERS = {
    "TopK": (1, (8, 5)),
    "Slice": (3, (10, 2)),
    "Squeeze": (1, (10, 13)),
    "Unsqueeze": (1, (10, 13)),
    "ReduceSum": (1, (10, 13)),
}


def complaints(model: onnx.ModelProto, version: str) -> list[str]:
    """Say what in a graph the parser of a TensorRT does not promise to read; nothing if all is.

    Each begins with the name of the node.
    """
    return _complaints(onnx.shape_inference.infer_shapes(model, strict_mode=True), version)


def _complaints(inferred: onnx.ModelProto, version: str) -> list[str]:
    parser = PARSERS[version]
    (opset,) = (each.version for each in inferred.opset_import if each.domain in ("", "ai.onnx"))
    found = [] if opset in parser.opsets else [f"the graph: opset {opset}"]
    return found + list(_Held(inferred.graph, parser, opset).complaints())


def complaints_of_all(fused: onnx.ModelProto, mode: str) -> list[str]:
    """Say what any version does not promise to read of a fused graph with that kind of input.

    From 10.0 on an engine in half precision is built from a graph in half precision.
    """
    graphs = [
        onnx.shape_inference.infer_shapes(each, strict_mode=True)
        for each in (fused, to_half(fused))
    ]
    found: list[str] = []
    for version, parser in PARSERS.items():
        if parser.version < (8, 5) and mode != TENSOR:
            continue  # its targets take a tensor
        for graph in graphs if parser.version >= (10, 0) else graphs[:1]:
            found += [f"{version}: {each}" for each in _complaints(graph, version)]
    return found


class _Held:
    """A graph, with the type of each value, held against a parser."""

    def __init__(self, inferred: onnx.GraphProto, parser: Parser, opset: int) -> None:
        self.graph, self.parser, self.opset = inferred, parser, opset
        self.constants = {each.name: each for each in inferred.initializer}
        for node in inferred.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.kinds = {each.name: each.data_type for each in self.constants.values()}
        self.kinds.update({name: each.data_type for name, each in self.constants.items()})
        for value in (*inferred.input, *inferred.output, *inferred.value_info):
            self.kinds[value.name] = value.type.tensor_type.elem_type
        self.outputs = {value.name for value in inferred.output}

    def complaints(self) -> Iterator[str]:
        for value in self.graph.input:
            if self.kinds[value.name] == TensorProto.UINT8 and self.parser.version < (8, 5):
                yield f"{value.name}: an input in UINT8"
        for node in self.graph.node:
            for reason in (*self._types(node), *self._limits(node)):
                yield f"{node.name or node.output[0]}: {reason}"

    def _types(self, node: onnx.NodeProto) -> Iterator[str]:
        documented = self.parser.types.get(node.op_type, frozenset())
        if not documented or node.domain not in ("", "ai.onnx"):
            yield f"{node.op_type} is not supported"
            return
        for name in self._computed_on(node):
            kind = self._kind(name)
            if kind not in documented:
                yield f"{node.op_type} of {kind}"
        for name in node.input:
            if self._kind(name) == "UINT8" and node.op_type != "Cast":
                yield f"{node.op_type} reads UINT8"
        for name in node.output:
            if self._kind(name) == "UINT8" and name not in self.outputs:
                yield f"{node.op_type} makes UINT8"

    def _computed_on(self, node: onnx.NodeProto) -> list[str]:
        """Name the values whose type the tables speak of: others are indices, shapes or scales."""
        if node.op_type in ("Constant", "ConstantOfShape"):
            return list(node.output)
        schema = onnx.defs.get_schema(node.op_type, self.opset)
        formal = [
            each.typeStr if hasattr(each, "typeStr") else each.type_str for each in schema.inputs
        ]
        formal += formal[-1:] * (len(node.input) - len(formal))  # the last may be variadic
        spoken_of = "T" if "T" in formal else formal[0]
        if node.op_type == "QuantizeLinear":
            return [node.input[0]]
        read = [name for name, kind in zip(node.input, formal) if name and kind == spoken_of]
        return read + (list(node.output) if node.op_type == "Cast" else [])

    def _kind(self, name: str) -> str:
        if not name:
            return ""
        kind = self.kinds.get(name)
        known = NAMES.get(kind, f"type {kind}")
        return NARROWED.get(known, known) if self.parser.version < (9, 0) else known

    def _limits(self, node: onnx.NodeProto) -> Iterator[str]:
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        place, until = INITIALIZERS.get(node.op_type, (9, (0, 0)))
        fixed = [self._constant(name) for name in node.input[place : place + 1] if name]
        if self.parser.version <= until and any(each is None for each in fixed):
            yield f"input {place} of {node.op_type} is no initializer"
        if node.op_type == "TopK":
            if fixed and fixed[0] is not None and fixed[0].max() > MOST_CANDIDATES:
                yield f"TopK of {fixed[0].max()}, more than {MOST_CANDIDATES}"
            if given.get("largest", 1) == 0 and self.parser.version < (8, 5):
                yield "TopK of the smallest is read as one of the largest"
            if given.get("sorted", 1) != 1:
                yield "TopK without order"
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
            zero = self._constant(node.input[2])
            if zero is None or zero.any():
                yield f"{node.op_type} with a zero point of its own"
        if node.op_type == "MaxPool" and len(node.output) > 1:
            yield "MaxPool gives indices"
        if node.op_type == "Resize":
            yield from self._resize(given)

    def _resize(self, given: Mapping[str, object]) -> Iterator[str]:
        modes = {
            "mode": (b"nearest", b"linear"),
            "coordinate_transformation_mode": (
                b"half_pixel", b"pytorch_half_pixel", b"tf_half_pixel_for_nn", b"asymmetric",
                b"align_corners",
            ),
            "nearest_mode": (b"floor", b"ceil", b"round_prefer_floor", b"round_prefer_ceil"),
        }  # fmt: skip
        for name, known in modes.items():
            if given.get(name, known[0]) not in known:
                yield f"Resize with {name} {given[name]!r}"

    def _constant(self, name: str) -> np.ndarray | None:
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)
