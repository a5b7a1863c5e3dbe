"""The custom operators in a graph: what only a library of plugins can compute."""

from pathlib import Path
from typing import Iterator, List

import onnx as onnx_format

from mmdet_jetson.stages.errors import StageError

# Operator sets that ONNX Runtime's CPU build computes without a library of custom operators.
NATIVE_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


def custom_operators(onnx: Path) -> List[str]:
    """Name the operators that belong to no operator set of ONNX or ONNX Runtime."""
    graph = onnx_format.load(str(onnx), load_external_data=False).graph
    return sorted({n.op_type for n in _nodes(graph) if n.domain not in NATIVE_DOMAINS})


def check_operators(onnx: Path) -> None:
    """Refuse a graph that ONNX Runtime cannot run."""
    custom = custom_operators(onnx)
    if custom:
        made_for = ", made for TensorRT" if any(name.startswith("TRT") for name in custom) else ""
        raise StageError(
            f"this graph holds {', '.join(custom)}{made_for}: ONNX Runtime cannot run it",
            'export the graph with backend "onnxruntime", or build it for a TensorRT target',
        )


def _nodes(graph: onnx_format.GraphProto) -> Iterator[onnx_format.NodeProto]:
    """Yield every node, also of the graphs inside If and Loop."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
