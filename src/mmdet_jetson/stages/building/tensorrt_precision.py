"""How a version of TensorRT is told an engine's precision, from 8.4 to 11.

What it can do is found out by looking for it. From 10.0 on networks are strongly typed: they are
computed in the types of their graph, with its casts and its Quantize and Dequantize nodes, and no
flag or call chooses another one. Before, FP16 and INT8 are flags that allow a precision everywhere,
so what must not be lowered is bound to FP32 layer by layer, and TensorRT itself calibrates INT8.
"""

from types import ModuleType
from typing import Dict

import onnx

from mmdet_jetson.stages.building.compiler import Compiler
from mmdet_jetson.stages.building.lower_precision import (
    NETWORK,
    last_convolutions,
    lowered_nodes,
)
from mmdet_jetson.stages.building.quantization import SYMMETRIC
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.building.tensorrt_calibrator import calibrated
from mmdet_jetson.stages.building.tensorrt_layers import bind_to_fp32, keep_in_half
from mmdet_jetson.stages.building.tensorrt_settings import use_dla
from mmdet_jetson.stages.building.typed_graph import typed_graph


def is_strongly_typed(trt: ModuleType) -> bool:
    """Whether precision is that of the types in the graph, and not chosen by flags."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def network_flags(trt: ModuleType) -> int:
    """Ask for types where there are such networks, and else for the batch as a dimension."""
    flags = trt.NetworkDefinitionCreationFlag
    name = "STRONGLY_TYPED" if is_strongly_typed(trt) else "EXPLICIT_BATCH"
    return 1 << int(getattr(flags, name))


def model_for(trt: ModuleType, request: BuildRequest) -> onnx.ModelProto:
    """Give the graph, lowered where this TensorRT takes its precision from there.

    Raises:
        StageError: the graph cannot be lowered, or not be calibrated.
    """
    if is_strongly_typed(trt):
        return typed_graph(request, SYMMETRIC)
    return onnx.load(str(request.onnx))


def set_precision(
    compiler: Compiler, request: BuildRequest, model: onnx.ModelProto
) -> Dict[str, object]:
    """Say what is computed in which precision and where; return what the passport should tell.

    Raises:
        StageError: the graph cannot be calibrated, or the accelerator can compute nothing of it.
    """
    flags, config = compiler.trt.BuilderFlag, compiler.config
    # TF32 has the 10 bits of half precision behind the point: too few for fp32, and for what stays
    # in FP32 at any precision, as the boxes do.
    config.clear_flag(flags.TF32)
    settings: Dict[str, object] = {"tf32": False}
    if is_strongly_typed(compiler.trt):
        settings["strongly_typed"] = True
    elif request.precision != "fp32":
        settings.update(_set_flags(compiler, request, model))
    # Last, because precision decides what it can compute.
    if request.settings.dla is not None:
        settings.update(use_dla(compiler, request.settings.dla, onnx.load(str(request.onnx))))
    return settings


def _set_flags(
    compiler: Compiler, request: BuildRequest, model: onnx.ModelProto
) -> Dict[str, object]:
    flags, config = compiler.trt.BuilderFlag, compiler.config
    config.set_flag(flags.FP16)
    bound = _keep_in_fp32(compiler, model)
    if request.precision == "fp16":
        return {"flags": ["FP16"], "bound_to_fp32": bound}
    config.set_flag(flags.INT8)
    if bound:
        # Behind these there are boxes and scores, and of them 256 steps are too few.
        keep_in_half(compiler.trt, compiler.network, last_convolutions(model))
    config.int8_calibrator = calibrated(compiler, request, model)
    return {"flags": ["FP16", "INT8"], "bound_to_fp32": bound, "calibrator": True}


def _keep_in_fp32(compiler: Compiler, model: onnx.ModelProto) -> int:
    """Bind to FP32 what `lowered_nodes` does not name; return how many layers that are.

    A documented graph does not tell its parts, so there TensorRT chooses for all layers, as it does
    for MMDeploy.
    """
    if not any(node.name.startswith(NETWORK) for node in model.graph.node):
        return 0
    trt = compiler.trt
    compiler.config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    lowered = lowered_nodes(model)
    exact = {node.name for node in model.graph.node} - lowered
    return bind_to_fp32(trt, compiler.network, exact, lowered)
