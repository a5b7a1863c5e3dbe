"""The networks in two ONNX files, compared node by node from first to last convolution.

Around these the two graphs of a checkpoint differ by intent: one has its preprocessing in front,
and MMDeploy writes YOLOX's first step, which takes a picture apart into four, in operators of its
own; behind, boxes and NMS are written in other operators.
"""

from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mmdet_jetson.stages.inference.graph import Folded
from mmdet_jetson.stages.proving.constant_shapes import with_constant_shapes
from mmdet_jetson.stages.proving.proof import NetworkComparison

# Dividing weights by a deviation and multiplying them by it again rounds.
ROUNDING = 1e-6
MOST_DIFFERENCES = 5
# Opset 13 made inputs of these attributes; MMDeploy writes 11.
NOW_INPUTS = {"Squeeze": "axes", "Unsqueeze": "axes", "ReduceSum": "axes", "Split": "split"}


class NetworkNodes:
    """The nodes that a graph's convolutions need, from the first one on, in the file's order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        model = _with_known_shapes(model)
        nodes = list(model.graph.node)
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for node in nodes:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        for node in nodes:
            self._modernise(node)
        needed = _needed([node for node in nodes if node.op_type != "Constant"])
        first = [node.op_type for node in needed].index("Conv")
        self.nodes = needed[first:]

    def _modernise(self, node: onnx.NodeProto) -> None:
        """Make a constant input of what was an attribute up to opset 12."""
        moved = [each for each in node.attribute if each.name == NOW_INPUTS.get(node.op_type)]
        for attribute in moved:
            name = f"{node.output[0]}/{attribute.name}"
            self.constants[name] = np.array(attribute.ints)
            node.input.append(name)
            node.attribute.remove(attribute)


def _with_known_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph as fused ones are, without a shape that is known.

    Each that is found makes others known behind it, as along the group norms of a head; a fused
    graph has been through this once more than a documented one.
    """
    folded = with_constant_shapes(model)
    if len(folded.graph.node) == len(model.graph.node):
        return folded
    return _with_known_shapes(folded)


def compare_files(first: Path, second: Path, folded: Optional[Folded]) -> NetworkComparison:
    """Compare the networks in two files.

    ``folded`` is what the second one's graph.json says was folded into its first convolution.

    Returns:
        How many nodes the first one has, and what differs, as `compare_networks` says it.
    """
    one, other = NetworkNodes(onnx.load(str(first))), NetworkNodes(onnx.load(str(second)))
    if folded:
        _unfold(other, folded)
    return NetworkComparison(len(one.nodes), tuple(compare_networks(one, other)))


def compare_networks(one: NetworkNodes, other: NetworkNodes) -> List[str]:
    """Name what differs between two networks, at most the first few nodes; nothing if they agree.

    Nodes agree in operator, attributes, weights and in which nodes they read.
    """
    if len(one.nodes) != len(other.nodes):
        return [f"{len(one.nodes)} nodes against {len(other.nodes)}"]
    names: Dict[str, str] = {one.nodes[0].input[0]: other.nodes[0].input[0]}
    differences: List[str] = []
    for a, b in zip(one.nodes, other.nodes):
        reason = _difference(a, b, one, other, names)
        names.update(zip(a.output, b.output))
        if reason:
            differences.append(f"{a.name or a.op_type} against {b.name}: {reason}")
    return differences[:MOST_DIFFERENCES]


def _needed(nodes: List[onnx.NodeProto]) -> List[onnx.NodeProto]:
    makers = {name: node for node in nodes for name in node.output}
    wanted = [node for node in nodes if node.op_type == "Conv"]
    needed = set()
    while wanted:
        node = wanted.pop()
        if node.output[0] not in needed:
            needed.add(node.output[0])
            wanted += [makers[name] for name in node.input if name in makers]
    return [node for node in nodes if node.output[0] in needed]


def _unfold(network: NetworkNodes, folded: Folded) -> None:
    """Give the first convolution the weights that were trained, [out, in, height, width]."""
    name = network.nodes[0].input[1]
    weights = network.constants[name][:, :: -1 if folded.flipped else 1]
    network.constants[name] = weights * np.array(folded.std, np.float32).reshape(1, -1, 1, 1)


def _difference(
    a: onnx.NodeProto,
    b: onnx.NodeProto,
    one: NetworkNodes,
    other: NetworkNodes,
    names: Dict[str, str],
) -> str:
    if a.op_type != b.op_type:
        return f"{a.op_type} is not {b.op_type}"
    attributes, others = _attributes(a), _attributes(b)
    if attributes != others:
        return f"the attributes {attributes} are not {others}"
    inputs, other_inputs = _given(a, one), _given(b, other)
    if len(inputs) != len(other_inputs):
        return f"{len(inputs)} inputs are not {len(other_inputs)}"
    for name, other_name in zip(inputs, other_inputs):
        if name in one.constants and other_name in other.constants:
            if not _same(one.constants[name], other.constants[other_name]):
                return f"the weights {name} are not {other_name}"
        elif names.get(name) != other_name:
            return f"it reads {name}, the other {other_name}"
    return ""


def _given(node: onnx.NodeProto, network: NetworkNodes) -> List[str]:
    """Inputs that say something: an absent one may stand as an empty name or an empty tensor."""
    return [
        n for n in node.input if n and (n not in network.constants or network.constants[n].size)
    ]


def _attributes(node: onnx.NodeProto) -> Dict[str, object]:
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _same(weights: np.ndarray, others: np.ndarray) -> bool:
    if weights.shape != others.shape:
        return False
    return bool(np.allclose(weights, others, rtol=ROUNDING, atol=0))
