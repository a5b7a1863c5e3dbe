"""Which part of a graph may be computed less exactly, and that part in half precision.

Only nodes whose name starts with ``network/`` are lowered, and of these only convolutions and what
one still follows. Behind the last ones boxes are decoded: half precision has steps of half a pixel
from 512 on, and the offsets that keep classes apart in NMS do not fit into it at all.

The converter that comes with ONNX Runtime, ``onnxruntime.transformers.float16``, hands every value
on in half precision, also between nodes that it is told to leave alone.
"""

from typing import Dict, Iterator, List, Set

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mmdet_jetson.stages.errors import StageError

NETWORK = "network/"
# Their type is an attribute, not that of their inputs; a Cast behind them is as good.
TYPED_BY_ATTRIBUTE = ("Cast", "Constant", "ConstantOfShape")
LARGEST_HALF = float(np.finfo(np.float16).max)


def lowered_nodes(model: onnx.ModelProto) -> Set[str]:
    """Name the nodes that may be computed in a lower precision.

    Raises:
        StageError: there are none, as in a documented graph, whose nodes do not tell their part.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    todo = [node for node in model.graph.node if node.op_type == "Conv"]
    found: Set[str] = set()
    while todo:
        node = todo.pop()
        if node.name not in found:
            found.add(node.name)
            todo += [made_by[name] for name in node.input if name in made_by]
    lowered = {name for name in found if name.startswith(NETWORK)}
    if not lowered:
        raise StageError(
            "this graph does not tell its network from its post-processing, which must keep its "
            "precision",
            'set graph = "fused" for the target in targets.toml',
        )
    return lowered


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph with the same inputs and outputs that computes `lowered_nodes` in FP16.

    Raises:
        StageError: no node may be lowered, or a weight is too large for half precision.
    """
    graph = _Halved(onnx.shape_inference.infer_shapes(model), lowered_nodes(model))
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    del halved.graph.node[:], halved.graph.initializer[:], halved.graph.value_info[:]
    halved.graph.node.extend(graph.nodes())
    halved.graph.initializer.extend(graph.initializers(halved.graph.node))
    return halved


class _Halved:
    """A graph of which some nodes are lowered; a value ``x`` in half precision is ``x/half``."""

    def __init__(self, model: onnx.ModelProto, lowered: Set[str]) -> None:
        self.graph = model.graph
        self.weights = {weight.name: weight for weight in model.graph.initializer}
        self.floats = _floats(model.graph)
        self.lowered = {
            node.name
            for node in model.graph.node
            if node.name in lowered
            and node.op_type not in TYPED_BY_ATTRIBUTE
            and self.floats.issuperset(node.output)
        }
        self.read_as_float = {output.name for output in model.graph.output}
        for node in model.graph.node:
            if node.name not in self.lowered:
                self.read_as_float.update(node.input)
        self.halves: Set[str] = set()

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """Yield the nodes in order, with casts wherever the precision changes."""
        for node in self.graph.node:
            if node.name not in self.lowered:
                yield node
                continue
            half = onnx.NodeProto()
            half.CopyFrom(node)
            for index, name in enumerate(node.input):
                if self._is_computed_on(node, index):
                    half.input[index] = _half(name)
                    if name not in self.halves and name not in self.weights:
                        yield helper.make_node(
                            "Cast", [name], [_half(name)], to=TensorProto.FLOAT16
                        )
                    self.halves.add(name)
            half.output[:] = map(_half, node.output)
            self.halves.update(node.output)
            yield half
            for name in self.read_as_float.intersection(node.output):
                yield helper.make_node("Cast", [_half(name)], [name], to=TensorProto.FLOAT)

    def initializers(self, nodes: List[onnx.NodeProto]) -> Iterator[TensorProto]:
        """Yield the weights that the nodes read, in the precision they read them in."""
        read = {name for node in nodes for name in node.input}
        for name, weight in self.weights.items():
            if name in read:
                yield weight
            if _half(name) in read:
                yield _half_weight(weight)

    def _is_computed_on(self, node: onnx.NodeProto, index: int) -> bool:
        """Whether an input is a value; those of a Resize behind the first only say how large."""
        return node.input[index] in self.floats and not (node.op_type == "Resize" and index)


def _half(name: str) -> str:
    return f"{name}/half"


def _half_weight(weight: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(weight)
    if values.size and np.abs(values).max() > LARGEST_HALF:
        raise StageError(
            f"the weight {weight.name} holds {np.abs(values).max():.3g}, too much for fp16",
            'set the target\'s precision to "fp32"',
        )
    return numpy_helper.from_array(values.astype(np.float16), _half(weight.name))


def _floats(graph: onnx.GraphProto) -> Set[str]:
    """Name the values and weights that are float32."""
    types: Dict[str, int] = {weight.name: weight.data_type for weight in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return {name for name, kind in types.items() if kind == TensorProto.FLOAT}
