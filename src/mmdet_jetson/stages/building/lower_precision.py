"""Which part of a graph may be computed less exactly, and that part in 16 bits.

Only nodes whose name starts with ``network/`` are lowered, and of these only convolutions and what
one still follows. Behind the last ones boxes are decoded: half precision has steps of half a pixel
from 512 on, and the offsets that keep classes apart in NMS do not fit into it at all.

The converter that comes with ONNX Runtime, ``onnxruntime.transformers.float16``, hands every value
on in half precision, also between nodes that it is told to leave alone.
"""

from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Set

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mmdet_jetson.stages.errors import StageError

NETWORK = "network/"
PARTS = ("preprocessing", "network", "nms")
"""What the names of a fused graph's nodes begin with."""
# Their type is an attribute, not that of their inputs; a Cast behind them is as good.
TYPED_BY_ATTRIBUTE = ("Cast", "Constant", "ConstantOfShape")


@dataclass(frozen=True)
class SmallFloat:
    """A type of 16 bits: its number in ONNX, and what its values and messages are called by."""

    kind: int
    name: str
    precision: str


HALF = SmallFloat(TensorProto.FLOAT16, "half", "fp16")
# The range of FP32 with 7 bits behind the point, where half precision has a small range and 10.
BFLOAT16 = SmallFloat(TensorProto.BFLOAT16, "bfloat16", "bf16")


def lowered_nodes(model: onnx.ModelProto) -> Set[str]:
    """Name the nodes that may be computed in a lower precision.

    Raises:
        StageError: there are none, as in a documented graph, whose nodes do not tell their part.
    """
    convolutions = _convolutions(model)
    found = {node.name for node in convolutions} | _before(model, convolutions)
    lowered = {name for name in found if name.startswith(NETWORK)}
    if not lowered:
        raise StageError(
            "this graph does not tell its network from its post-processing, which must keep its "
            "precision",
            'set graph = "fused" for the target in targets.toml',
        )
    return lowered


def last_convolutions(model: onnx.ModelProto) -> Set[str]:
    """Name the convolutions that no other one follows."""
    convolutions = _convolutions(model)
    return {node.name for node in convolutions} - _before(model, convolutions)


def _convolutions(model: onnx.ModelProto) -> List[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def _before(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> Set[str]:
    """Name the nodes that some nodes get their values from, over however many steps."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    todo = [made_by[name] for node in nodes for name in node.input if name in made_by]
    found: Set[str] = set()
    while todo:
        node = todo.pop()
        if node.name not in found:
            found.add(node.name)
            todo += [made_by[name] for name in node.input if name in made_by]
    return found


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph with the same inputs and outputs that computes `lowered_nodes` in FP16.

    Raises:
        StageError: no node may be lowered, or a weight is too large for half precision.
    """
    return _lowered(model, HALF)


def to_bfloat16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return such a graph that computes them in bfloat16.

    ONNX allows that for convolutions from opset 22 on. OpenVINO takes it at any.

    Raises:
        StageError: no node may be lowered.
    """
    return _lowered(model, BFLOAT16)


def _lowered(model: onnx.ModelProto, small: SmallFloat) -> onnx.ModelProto:
    graph = _Lowered(onnx.shape_inference.infer_shapes(model), lowered_nodes(model), small)
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    del lowered.graph.node[:], lowered.graph.initializer[:], lowered.graph.value_info[:]
    lowered.graph.node.extend(graph.nodes())
    lowered.graph.initializer.extend(graph.initializers(lowered.graph.node))
    return lowered


class _Lowered:
    """A graph of which some nodes are lowered: ``x/half`` or ``x/bfloat16`` is a value ``x``."""

    def __init__(self, model: onnx.ModelProto, lowered: Set[str], small: SmallFloat) -> None:
        self.graph, self.small = model.graph, small
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
        self.made: Set[str] = set()

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """Yield the nodes in order, with casts wherever the precision changes."""
        for node in self.graph.node:
            if node.name not in self.lowered:
                yield node
                continue
            lowered = onnx.NodeProto()
            lowered.CopyFrom(node)
            for index, name in enumerate(node.input):
                if self._is_computed_on(node, index):
                    lowered.input[index] = self._small(name)
                    if name not in self.made and name not in self.weights:
                        yield helper.make_node(
                            "Cast",
                            [name],
                            [self._small(name)],
                            # Builders would name it after a value, and so after another part.
                            name=f"{NETWORK}to_{self.small.name}/{name}",
                            to=self.small.kind,
                        )
                    self.made.add(name)
            lowered.output[:] = map(self._small, node.output)
            self.made.update(node.output)
            yield lowered
            for name in self.read_as_float.intersection(node.output):
                yield helper.make_node(
                    "Cast",
                    [self._small(name)],
                    [name],
                    name=f"{NETWORK}to_float/{name}",
                    to=TensorProto.FLOAT,
                )

    def initializers(self, nodes: List[onnx.NodeProto]) -> Iterator[TensorProto]:
        """Yield the weights that the nodes read, in the precision they read them in."""
        read = {name for node in nodes for name in node.input}
        for name, weight in self.weights.items():
            if name in read:
                yield weight
            if self._small(name) in read:
                yield self._small_weight(weight)

    def _is_computed_on(self, node: onnx.NodeProto, index: int) -> bool:
        """Whether an input is a value; those of a Resize behind the first only say how large."""
        return node.input[index] in self.floats and not (node.op_type == "Resize" and index)

    def _small(self, name: str) -> str:
        return f"{name}/{self.small.name}"

    def _small_weight(self, weight: TensorProto) -> TensorProto:
        values = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            small = values.astype(helper.tensor_dtype_to_np_dtype(self.small.kind))
        if not np.isfinite(small).all():
            raise StageError(
                f"the weight {weight.name} holds {np.abs(values).max():.3g}, too much for "
                f"{self.small.precision}",
                'set the target\'s precision to "fp32"',
            )
        return numpy_helper.from_array(small, self._small(weight.name))


def _floats(graph: onnx.GraphProto) -> Set[str]:
    """Name the values and weights that are float32."""
    types: Dict[str, int] = {weight.name: weight.data_type for weight in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return {name for name, kind in types.items() if kind == TensorProto.FLOAT}
