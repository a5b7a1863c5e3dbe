"""Engines for TensorRT for RTX, compiled ahead of time for listed GPUs; no GPU is needed."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Sequence

import onnx

from mmdet_jetson.stages.backends.tensorrt_rtx import trt, versions
from mmdet_jetson.stages.building import Built, Request
from mmdet_jetson.stages.building.compiler import ENGINE, LOG, Compiler
from mmdet_jetson.stages.building.lower_precision import to_half
from mmdet_jetson.stages.building.quantization import FOR_TENSORRT, quantize
from mmdet_jetson.stages.errors import StageError


def build(request: Request) -> Built:
    """Compile for the request's compute capabilities into one file.

    This builder has no flags for precision: it computes in the types that the graph has. So the
    graph is lowered first.

    Raises:
        StageError: a GPU that this TensorRT for RTX has no code for, or a graph it cannot compile.
    """
    capabilities = [_capability(number) for number in request.compute_capabilities]
    compiler = Compiler(trt, _strongly_typed(), request.folder / LOG)
    compiler.parse(lowered(request))
    width, height = request.graph["input_size"]
    compiler.add_profile((width, height))
    _choose_gpus(compiler.config, capabilities)
    if request.precision == "fp32":
        # TF32 has the 10 bits of half precision behind the point.
        compiler.config.clear_flag(trt.BuilderFlag.TF32)
    engine = request.folder / ENGINE
    engine.write_bytes(compiler.compile())
    runs_on = {"sm": list(request.compute_capabilities), **versions()}
    return Built(engine, {"tf32": False, "strongly_typed": True}, runs_on)


def lowered(request: Request) -> onnx.ModelProto:
    """Give the request's graph in the types of its precision."""
    if request.precision == "fp16":
        return to_half(onnx.load(str(request.onnx)))
    if request.precision == "int8":
        with TemporaryDirectory() as scratch:
            return onnx.load(str(quantize(request, FOR_TENSORRT, Path(scratch) / "int8.onnx")))
    return onnx.load(str(request.onnx))


def _strongly_typed() -> int:
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _choose_gpus(config: Any, capabilities: Sequence[Any]) -> None:
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        config.set_compute_capability(capability, index)


def _capability(number: int) -> Any:
    capability = getattr(trt.ComputeCapability, f"SM{number}", None)
    if capability is None:
        known = [name[2:] for name in dir(trt.ComputeCapability) if name.startswith("SM")]
        raise StageError(
            f"TensorRT for RTX {trt.__version__} has no code for compute capability {number}",
            f"set the target's compute_capabilities to some of: {', '.join(known)}",
        )
    return capability
