"""What TensorRT made of a graph: its listing of an engine's layers, and a check of their types.

A flag, a bound layer or a cast only asks for a precision. The engine inspector tells in which one
each layer reads and writes, so an engine that computes boxes in half precision is found out where
it is built.
"""

import gc
import json
import re
from dataclasses import dataclass
from typing import AbstractSet, Dict, List, Mapping, Optional, Sequence, Tuple

import onnx
from onnx import TensorProto

from mmdet_jetson.stages.building.compiler import Compiler
from mmdet_jetson.stages.building.lower_precision import NETWORK, PARTS, lowered_nodes
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.errors import StageError

LAYERS = "layers.json"
# How the inspector writes types: "Channel major FP16 format where channel % 8 == 0" up to 8.6 and
# "Half" from 10 on; "Thirty-two wide channel vectorized row major Int8 format", "BFloat16".
LOWERED = re.compile(r"\b(fp16|half|bf16|bfloat16|int8|fp8|int4|fp4)\b", re.IGNORECASE)
UNKNOWN = "N/A"
# They copy from one type or layout to another, and compute nothing.
COPIES = ("Reformat", "NoOp")
# Many nodes in one, "{ForeignNode[first...last]}": it tells what goes in and what comes out.
FOREIGN = "ForeignNode"
NODE = re.compile(rf"(?:{'|'.join(PARTS)})/\w+")
# Quantize and Dequantize nodes are none of the graph's own parts.
QUANTIZES = re.compile(r"[Qq]uantizeLinear")
Layer = Mapping[str, object]


@dataclass(frozen=True)
class Seen:
    """What the listing showed: settings for the passport, and sentences that the user should read.

    ``exact_layers`` are of nodes alone that must stay in FP32 and are seen to be in it;
    ``untold_layers`` are of such nodes, too, and do not tell.
    """

    exact_layers: int
    untold_layers: int
    doubts: Sequence[str] = ()

    @property
    def settings(self) -> Dict[str, object]:
        """What stands in the passport."""
        return {"exact_layers": self.exact_layers, "untold_layers": self.untold_layers}


def inspect(compiler: Compiler, request: BuildRequest, engine: bytes) -> Seen:
    """Keep the listing of an engine's layers beside it, and check it where precision is lower.

    Raises:
        StageError: TensorRT cannot load what it has just built, or did not keep FP32 where it must.
    """
    told = _told(compiler, engine)
    gc.collect()  # an engine and its context hold memory of the GPU
    path = request.folder / LAYERS
    try:
        # TensorRT 10 puts control characters between the nodes of a layer.
        content = json.loads(told, strict=False)
        listed = [layer for layer in content["Layers"] if isinstance(layer, dict)]
    except (ValueError, KeyError, TypeError):
        path.write_text(told, encoding="utf-8")
        listed = []
    else:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    model = onnx.load(str(request.onnx), load_external_data=False)
    names = (node.name for node in model.graph.node)
    if request.precision == "fp32" or not any(name.startswith(NETWORK) for name in names):
        return Seen(0, 0)
    seen = check_layers(listed, model)
    if seen.exact_layers:
        return seen
    doubt = (
        f"whether boxes are computed in FP32 was not seen: {LAYERS}, the listing of TensorRT "
        f"{compiler.trt.__version__}, does not tell it. Evaluate the engine on its device"
    )
    return Seen(0, seen.untold_layers, (doubt,))


def _told(compiler: Compiler, content: bytes) -> str:
    trt = compiler.trt
    runtime = trt.Runtime(compiler.logger)
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise StageError(
            f"TensorRT {trt.__version__} cannot load the engine that it has just built: "
            f"{compiler.logger.last_error or 'it did not say why'}",
            "read builder.log in the job's folder; too little memory is a usual cause",
        )
    inspector = engine.create_engine_inspector()
    if compiler.best:
        # What has no fixed size has no fixed type in the listing either.
        context = engine.create_execution_context()
        for name, shape in compiler.best.items():
            context.set_input_shape(name, shape)
        inspector.execution_context = context
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def check_layers(layers: Sequence[Layer], model: onnx.ModelProto) -> Seen:
    """Refuse an engine with a layer that computes in 16 or 8 bits what must stay in FP32.

    A layer that several nodes were fused into may hold both kinds and casts between them: that one
    does not tell, and is not refused.

    Args:
        layers: what the inspector says.
        model: the graph, before it was lowered. What `lowered_nodes` does not name of it must stay.

    Raises:
        StageError: there is such a layer; names it.
    """
    nodes = {node.name for node in model.graph.node}
    # How large something is has no precision.
    sizes = {node.name for node in model.graph.node if node.op_type == "Shape"}
    exact = nodes - lowered_nodes(model) - sizes
    others = _not_floats(model)
    seen = untold = 0
    for layer in layers:
        said = f"{layer.get('Metadata') or ''} {layer.get('Name')}"
        found = _nodes_in(said, nodes)
        if not found & exact or layer.get("LayerType") in COPIES:
            continue
        # Weights and casts of the network have names like its nodes.
        is_mixed = any(name.startswith(NETWORK) for name in found - exact - sizes)
        if is_mixed or QUANTIZES.search(said) or not _tells(layer):
            untold += 1
            continue
        wrong = _lowered_tensor(layer, others)
        if wrong:
            raise StageError(
                f"TensorRT computes {layer.get('Name')} in a lower precision, which must stay in "
                f"FP32: {wrong[0]} is {wrong[1]}",
                f"set the target's precision to \"fp32\"; {LAYERS} in the job's folder lists what "
                "this TensorRT made of all layers",
            )
        seen += 1
    return Seen(seen, untold)


def _nodes_in(said: str, nodes: AbstractSet[str]) -> AbstractSet[str]:
    """Find what is called like a node; of a node that became several layers, without its number.

    From 8.6 on TensorRT lists a layer's nodes as metadata; the layer's name is made of theirs, too.
    """
    names = NODE.findall(said)
    return {name if name in nodes else re.sub(r"_\d+$", "", name) for name in names}


def _lowered_tensor(layer: Layer, others: AbstractSet[str]) -> Optional[Tuple[str, str]]:
    """Give the name and the type of a lowered value that a layer reads or writes, if any."""
    # Inside of many nodes in one, the first thing may be a cast.
    sides = ("Outputs",) if FOREIGN in str(layer.get("Name")) else ("Inputs", "Outputs")
    for name, kind in _tensors(layer, sides):
        if name not in others and LOWERED.search(kind):
            return name, kind
    return None


def _tells(layer: Layer) -> bool:
    return not any(kind.startswith(UNKNOWN) for _, kind in _tensors(layer, ("Inputs", "Outputs")))


def _tensors(layer: Layer, sides: Sequence[str]) -> List[Tuple[str, str]]:
    """Give names and types of what a layer reads and writes."""
    found = []
    for side in sides:
        listed = layer.get(side)
        for each in listed if isinstance(listed, list) else []:
            kind = each.get("Format/Datatype", UNKNOWN) if isinstance(each, dict) else UNKNOWN
            found.append((str(each.get("Name") if isinstance(each, dict) else each), str(kind)))
    return found


def _not_floats(model: onnx.ModelProto) -> AbstractSet[str]:
    """Name the values of a graph that are no floats: a picture is in 8 bits rightly."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name
        for value in (*graph.input, *graph.output, *graph.value_info)
        if value.type.tensor_type.elem_type != TensorProto.FLOAT
    }
