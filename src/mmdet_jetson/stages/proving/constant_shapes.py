"""The shapes that a graph computes although they are known, computed once and for all.

PyTorch writes ``expand`` with a Shape, a ConstantOfShape of whole numbers, a Mul, an Equal and a
Where, also where every size is known. TensorRT 8 promises a ConstantOfShape of floats only.
"""

from typing import Callable, Dict, List, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

COMPUTED: Mapping[str, Callable[..., np.ndarray]] = {
    "Mul": np.multiply,
    "Equal": np.equal,
    "Where": np.where,
}


def with_constant_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with initializers in place of such computations."""
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    constants: Dict[str, np.ndarray] = {}
    for tensor in model.graph.initializer:
        _keep(constants, tensor.name, tensor)
    sizes = _sizes(model)
    kept: List[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            _keep(constants, node.output[0], node.attribute[0].t)
        values = [constants[name] for name in node.input if name in constants]
        if node.op_type == "Shape" and node.input[0] in sizes:
            constants[node.output[0]] = np.array(sizes[node.input[0]], np.int64)
        elif not node.input or len(values) < len(node.input):
            kept.append(node)
        elif node.op_type == "ConstantOfShape" and node.attribute:
            constants[node.output[0]] = np.full(
                values[0], numpy_helper.to_array(node.attribute[0].t)[0]
            )
        elif node.op_type in COMPUTED:
            constants[node.output[0]] = COMPUTED[node.op_type](*values)
        else:
            kept.append(node)
    read = {name for node in kept for name in node.input}
    made = {name for node in kept for name in node.output}
    made |= {tensor.name for tensor in model.graph.initializer}
    del folded.graph.node[:]
    folded.graph.node.extend(kept)
    folded.graph.initializer.extend(
        numpy_helper.from_array(constants[name], name) for name in constants if name in read - made
    )
    return folded


def _sizes(model: onnx.ModelProto) -> Dict[str, List[int]]:
    """Give the sides of all values of which all are known."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    sizes: Dict[str, List[int]] = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        sides = [side.dim_value for side in kind.shape.dim]
        if kind.HasField("shape") and all(sides):
            sizes[value.name] = sides
    return sizes


def _keep(constants: Dict[str, np.ndarray], name: str, tensor: onnx.TensorProto) -> None:
    """Keep what may be a shape: whole numbers."""
    if tensor.data_type == onnx.TensorProto.INT64:
        constants[name] = numpy_helper.to_array(tensor)
