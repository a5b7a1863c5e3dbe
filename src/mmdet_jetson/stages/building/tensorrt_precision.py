"""How a version of TensorRT is told an engine's precision, from 8.4 to 11.

What it can do is found out by looking for it. Flags for FP16 and INT8 exist before 11; from then on
a network is computed in the types of its graph. INT8 is calibrated by TensorRT itself before 10.1,
where that was deprecated, and by Quantize and Dequantize nodes from then on.
"""

from types import ModuleType
from typing import Dict, Tuple

import onnx

from mmdet_jetson.stages.building.compiler import Compiler
from mmdet_jetson.stages.building.lower_precision import NETWORK, lowered_nodes
from mmdet_jetson.stages.building.quantization import SYMMETRIC
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.building.tensorrt_calibrator import calibrator
from mmdet_jetson.stages.building.typed_graph import typed_graph

CALIBRATION_CACHE = "calibration.cache"
# Calibrators are deprecated from here on.
QUANTIZED_GRAPHS = (10, 1)


def has_precision_flags(trt: ModuleType) -> bool:
    """Whether precision is chosen by flags, and not by the types in the graph."""
    return hasattr(trt.BuilderFlag, "FP16")


def has_calibrators(trt: ModuleType) -> bool:
    """Whether INT8 is calibrated by TensorRT itself."""
    return has_precision_flags(trt) and _version(trt) < QUANTIZED_GRAPHS


def _version(trt: ModuleType) -> Tuple[int, int]:
    major, minor = trt.__version__.split(".")[:2]
    return int(major), int(minor)


def network_flags(trt: ModuleType) -> int:
    """Ask for the batch as a dimension where that is still a choice, and for types from 11 on."""
    flags = trt.NetworkDefinitionCreationFlag
    name = "EXPLICIT_BATCH" if has_precision_flags(trt) else "STRONGLY_TYPED"
    return 1 << int(getattr(flags, name)) if hasattr(flags, name) else 0


def model_for(trt: ModuleType, request: BuildRequest) -> onnx.ModelProto:
    """Give the graph, lowered where this TensorRT takes its precision from there."""
    by_flag = {"fp16": has_precision_flags(trt), "int8": has_calibrators(trt)}
    if by_flag.get(request.precision, True):
        return onnx.load(str(request.onnx))
    return typed_graph(request, SYMMETRIC)


def set_precision(
    compiler: Compiler, request: BuildRequest, model: onnx.ModelProto
) -> Dict[str, object]:
    """Set the flags of the request's precision; return what is worth a line in the passport."""
    trt, config = compiler.trt, compiler.config
    flags = trt.BuilderFlag
    # TF32 has the 10 bits of half precision behind the point: too few for fp32, and for what stays
    # in FP32 at any precision, as the boxes do.
    config.clear_flag(flags.TF32)
    settings: Dict[str, object] = {"tf32": False}
    if request.precision == "fp32":
        return settings
    if not has_precision_flags(trt):
        return {**settings, "strongly_typed": True}
    config.set_flag(flags.FP16)
    _keep_in_fp32(compiler, model)
    if request.precision == "fp16":
        return {**settings, "flags": ["FP16"]}
    config.set_flag(flags.INT8)
    if has_calibrators(trt):
        cache = request.folder / CALIBRATION_CACHE
        config.int8_calibrator = calibrator(trt, request, model, cache)
        # The pictures have the size of the network's input, which is the profile's best one.
        if config.num_optimization_profiles:
            config.set_calibration_profile(compiler.profile)
    return {**settings, "flags": ["FP16", "INT8"], "calibrator": has_calibrators(trt)}


def _keep_in_fp32(compiler: Compiler, model: onnx.ModelProto) -> None:
    """Bind all layers to FP32 that `lowered_nodes` does not name.

    A documented graph does not tell its parts, so there TensorRT chooses for all layers, as it does
    for MMDeploy.
    """
    if not any(node.name.startswith(NETWORK) for node in model.graph.node):
        return
    trt, lowered = compiler.trt, lowered_nodes(model)
    compiler.config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for index in range(compiler.network.num_layers):
        layer = compiler.network.get_layer(index)
        if layer.name not in lowered and layer.get_output(0).dtype == trt.DataType.FLOAT:
            layer.precision = trt.DataType.FLOAT
