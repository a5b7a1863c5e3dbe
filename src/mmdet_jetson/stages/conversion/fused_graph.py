"""One ONNX file from a picture to detections: preprocessing, network and NMS in plain operators.

Every node's name starts with the part it belongs to: ``preprocessing/``, ``network/`` or ``nms/``.
"""

import io
import traceback
from dataclasses import replace
from typing import Dict, List, Mapping, NamedTuple, Optional, Set

import onnx
import torch
from onnx import helper
from torch import nn

from mmdet_jetson.contract.parameters.export import FusedParameters
from mmdet_jetson.stages.conversion.decoded_network import DecodedNetwork
from mmdet_jetson.stages.conversion.fused_nms import IR_VERSION, OPSET, NmsLimits, nms_graph
from mmdet_jetson.stages.conversion.fused_preprocessing import (
    check_input,
    fold_into_first_convolution,
    preprocessing_graph,
)
from mmdet_jetson.stages.conversion.onnx_graph import STANDARD_DOMAINS
from mmdet_jetson.stages.conversion.plain_operators import plain_operators
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.inference.graph import TENSOR, Folded
from mmdet_jetson.stages.inference.preprocessing import Preprocessing
from mmdet_jetson.stages.proving.constant_shapes import with_constant_shapes


class FusedGraph(NamedTuple):
    """A graph, and what was folded into its first convolution, if anything was."""

    model: onnx.ModelProto
    folded: Optional[Folded]


def fused_graph(
    model: nn.Module, fused: FusedParameters, preprocessing: Preprocessing, limits: NmsLimits
) -> FusedGraph:
    """Make the graph of a detector in evaluation mode.

    Its inputs are those of `preprocessing_graph` for the kind of input; for "tensor", ``input``
    float32 [batch, 3, height, width], normalised. Where the graph does not scale the picture
    itself, ``mapping`` of `nms_graph` is an input too. Its outputs are those of `nms_graph`.

    Raises:
        StageError: the model has a head that is not known, or the input and the preprocessing do
            not go together.
    """
    check_input(fused.input, preprocessing, fused.batch)
    decoded = DecodedNetwork(model, fused.batch, preprocessing.input_size).eval()
    network = trace(decoded)
    # A Pad of the test pipeline makes the padding part of the picture, as far as MMDetection knows.
    border = decoded.given.border if preprocessing.pads_normalized else None
    nms = nms_graph(limits, replace(decoded.given, border=border))
    parts = {"network": network, "nms": nms}
    folded: Optional[Folded] = None
    if fused.input != TENSOR:
        folded = fold_into_first_convolution(network, preprocessing)
        before = preprocessing_graph(fused.input, preprocessing, fused.batch, folded is not None)
        parts = {"preprocessing": before, **parts}
    joined = join(parts)
    onnx.checker.check_model(joined, full_check=True)
    return FusedGraph(joined, folded)


def trace(network: DecodedNetwork) -> onnx.ModelProto:
    """Write a detector up to its boxes, from ``input`` to ``boxes``, ``scores`` and ``factors``.

    Raises:
        StageError: the network has an operator that PyTorch cannot write as ONNX, or one that it
            writes under a name of its own.
    """
    stream = io.BytesIO()
    names = ["boxes", "scores", *(["factors"] if network.given.has_factors else [])]
    try:
        with torch.no_grad(), plain_operators():
            torch.onnx.export(
                network,
                network.example,
                stream,
                opset_version=OPSET,
                input_names=["input"],
                output_names=names,
            )
    except RuntimeError as error:
        traceback.print_exc()
        raise StageError(
            f"PyTorch {torch.__version__} cannot write this network as ONNX: {reason_of(error)}",
            "the models of docs/conversion.md are known to work; the log has the traceback",
        ) from error
    return with_constant_shapes(check_standard(onnx.load_model_from_string(stream.getvalue())))


def check_standard(model: onnx.ModelProto) -> onnx.ModelProto:
    """Refuse operators that no backend has without a plugin; else give the model back.

    Raises:
        StageError: it has such.
    """
    own = {node.op_type for node in model.graph.node if node.domain not in STANDARD_DOMAINS}
    if own:
        raise StageError(
            f"the network has operators that are not part of ONNX: {', '.join(sorted(own))}",
            "train a model without them: an engine needs no plugin",
        )
    return model


def join(parts: Mapping[str, onnx.ModelProto]) -> onnx.ModelProto:
    """Join graphs, in order, by the names of their inputs and outputs.

    What no part makes is an input of the whole; the last part's outputs are its outputs. All other
    names get the name of their part in front.
    """
    # onnx.compose.add_prefix renames inputs and outputs with the rest, and names no nameless node.
    graphs = [_named_after(part, model.graph) for part, model in parts.items()]
    made = {output.name for graph in graphs for output in graph.output}
    inputs: Dict[str, onnx.ValueInfoProto] = {
        value.name: value for graph in graphs for value in graph.input if value.name not in made
    }
    joined = helper.make_graph(
        [node for graph in graphs for node in graph.node],
        "detector",
        list(inputs.values()),
        list(graphs[-1].output),
        [tensor for graph in graphs for tensor in _used(graph)],
    )
    return helper.make_model(
        joined,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="mmdet_jetson",
    )


def _named_after(part: str, graph: onnx.GraphProto) -> onnx.GraphProto:
    own = onnx.GraphProto()
    own.CopyFrom(graph)
    shared = {value.name for value in (*own.input, *own.output)}
    inner = {name for node in own.node for name in node.output} - shared
    names = {name: f"{part}/{name}" for name in (*inner, *(w.name for w in own.initializer))}
    for number, node in enumerate(own.node):
        node.name = f"{part}/{node.op_type}_{number}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in own.initializer:
        tensor.name = names[tensor.name]
    return own


def _used(graph: onnx.GraphProto) -> List[onnx.TensorProto]:
    read: Set[str] = {name for node in graph.node for name in node.input}
    return [tensor for tensor in graph.initializer if tensor.name in read]
