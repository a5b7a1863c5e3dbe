"""Engines for TensorRT 8.4 to 11, compiled on the device they are for.

What a version can do is found out by looking for it. Flags for FP16 and INT8 exist before 11; from
then on a network is computed in the types of its graph. INT8 is calibrated by TensorRT itself
before 10.1, where that was deprecated, and by Quantize and Dequantize nodes from then on.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Optional, Tuple

import onnx
import tensorrt as trt

from mmdet_jetson.stages.backends.tensorrt import load_plugin, versions
from mmdet_jetson.stages.building import TIMING_CACHE, Built, Request
from mmdet_jetson.stages.building.compiler import ENGINE, LOG, Compiler
from mmdet_jetson.stages.building.lower_precision import (
    NETWORK,
    lowered_nodes,
    to_half,
)
from mmdet_jetson.stages.building.quantization import FOR_TENSORRT, quantize
from mmdet_jetson.stages.building.tensorrt_calibrator import calibrator
from mmdet_jetson.stages.inference.device import gpu_architecture, l4t_release

CALIBRATION_CACHE = "calibration.cache"
# Scratch memory that one layer may ask for; convolutions are slower with less.
WORKSPACE = 1 << 30
# Calibrators are deprecated from here on.
QUANTIZED_GRAPHS = (10, 1)


def build(request: Request) -> Built:
    """Compile for this device, keeping the builder's log and its timing cache beside the engine.

    Raises:
        StageError: a graph that this TensorRT cannot read or compile.
    """
    compiler = Compiler(trt, _network_flags(), request.folder / LOG)
    if request.plugin:
        load_plugin(request.plugin, compiler.logger)
    model = _model(request)
    compiler.parse(model)
    width, height = request.graph["input_size"]
    compiler.add_profile((width, height))
    config = compiler.config
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    settings = _set_precision(compiler, request, model)
    settings["timings_reused"] = _set_timing_cache(config, request.timings)
    engine = request.folder / ENGINE
    engine.write_bytes(compiler.compile())
    timing = config.get_timing_cache().serialize()
    (request.folder / TIMING_CACHE).write_bytes(bytes(memoryview(timing)))
    return Built(engine, {"workspace": WORKSPACE, **settings}, _runs_on())


def _set_timing_cache(config: Any, earlier: Optional[Path]) -> bool:
    """Start from an earlier build's timings; return whether TensorRT took them.

    It knows by itself which ones are of another GPU or of another TensorRT.
    """
    if earlier:
        cache = config.create_timing_cache(earlier.read_bytes())
        if cache is not None and config.set_timing_cache(cache, False):
            return True
    config.set_timing_cache(config.create_timing_cache(b""), False)
    return False


def has_precision_flags() -> bool:
    """Whether precision is chosen by flags, and not by the types in the graph."""
    return hasattr(trt.BuilderFlag, "FP16")


def has_calibrators() -> bool:
    """Whether INT8 is calibrated by TensorRT itself."""
    return has_precision_flags() and _version() < QUANTIZED_GRAPHS


def _version() -> Tuple[int, int]:
    major, minor = trt.__version__.split(".")[:2]
    return int(major), int(minor)


def _network_flags() -> int:
    """Ask for the batch as a dimension where that is still a choice, and for types from 11 on."""
    flags = trt.NetworkDefinitionCreationFlag
    name = "EXPLICIT_BATCH" if has_precision_flags() else "STRONGLY_TYPED"
    return 1 << int(getattr(flags, name)) if hasattr(flags, name) else 0


def _model(request: Request) -> onnx.ModelProto:
    """Give the graph, lowered where this TensorRT takes its precision from there."""
    if request.precision == "fp16" and not has_precision_flags():
        return to_half(onnx.load(str(request.onnx)))
    if request.precision == "int8" and not has_calibrators():
        with TemporaryDirectory() as scratch:
            return onnx.load(str(quantize(request, FOR_TENSORRT, Path(scratch) / "int8.onnx")))
    return onnx.load(str(request.onnx))


def _set_precision(compiler: Compiler, request: Request, model: onnx.ModelProto) -> Dict[str, Any]:
    """Set the flags of the request's precision; return what is worth a line in the passport."""
    config, flags = compiler.config, trt.BuilderFlag
    # TF32 has the 10 bits of half precision behind the point.
    if request.precision == "fp32":
        config.clear_flag(flags.TF32)
        return {"tf32": False}
    if not has_precision_flags():
        return {"strongly_typed": True}
    config.set_flag(flags.FP16)
    _keep_in_fp32(compiler, model)
    if request.precision == "fp16":
        return {"flags": ["FP16"]}
    config.set_flag(flags.INT8)
    if has_calibrators():
        cache = request.folder / CALIBRATION_CACHE
        config.int8_calibrator = calibrator(trt, request, model, cache)
        # The pictures have the size of the network's input, which is the profile's best one.
        if config.num_optimization_profiles:
            config.set_calibration_profile(compiler.profile)
    return {"flags": ["FP16", "INT8"], "calibrator": has_calibrators()}


def _keep_in_fp32(compiler: Compiler, model: onnx.ModelProto) -> None:
    """Bind all layers to FP32 that `lowered_nodes` does not name.

    A documented graph does not tell its parts, so there TensorRT chooses for all layers, as it does
    for MMDeploy.
    """
    if not any(node.name.startswith(NETWORK) for node in model.graph.node):
        return
    lowered = lowered_nodes(model)
    compiler.config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for index in range(compiler.network.num_layers):
        layer = compiler.network.get_layer(index)
        if layer.name not in lowered and layer.get_output(0).dtype == trt.DataType.FLOAT:
            layer.precision = trt.DataType.FLOAT


def _runs_on() -> Dict[str, Any]:
    """Say what a device must have to run what was compiled on this one."""
    here = {"sm": gpu_architecture(), "l4t": l4t_release(), **versions()}
    return {fact: value for fact, value in here.items() if value is not None}
