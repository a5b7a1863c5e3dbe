"""TensorRT for RTX on a GPU: engines are compiled ahead of time for listed GPUs, without one."""

from pathlib import Path
from typing import Dict, Mapping, Sequence

# The package tensorrt-rtx-cu12 only forwards to this one, and exists as source only.
import tensorrt_rtx_bindings as trt

from mmdet_jetson.stages.building.request import BuildRequest, Built
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.device import gpu_architecture
from mmdet_jetson.stages.inference.gpu import open_engine
from mmdet_jetson.stages.inference.graph import Graph
from mmdet_jetson.stages.inference.letterbox_kernel import taking_pictures
from mmdet_jetson.stages.inference.network import Network

__all__ = ["build", "can_run", "open_session", "taking_pictures", "versions"]


def build(request: BuildRequest) -> Built:
    """Compile for the request's compute capabilities into one file.

    This builder has no flags for precision: it computes in the types that the graph has. So the
    graph is lowered first.

    Raises:
        StageError: a GPU that this TensorRT for RTX has no code for, or a graph it cannot compile.
    """
    from mmdet_jetson.stages.building import quantization, typed_graph  # noqa: PLC0415
    from mmdet_jetson.stages.building.compiler import ENGINE, LOG, Compiler  # noqa: PLC0415
    from mmdet_jetson.stages.building.engine_layers import Seen, inspect  # noqa: PLC0415

    capabilities = [_capability(number) for number in request.compute_capabilities]
    compiler = Compiler(trt, _strongly_typed(), request.folder / LOG)
    compiler.parse(typed_graph.typed_graph(request, quantization.SYMMETRIC))
    settings = {"tf32": False, "strongly_typed": True, **compiler.add_profile(request)}
    _choose_gpus(compiler.config, capabilities)
    # TF32 has the 10 bits of half precision behind the point: too few for fp32, and for what stays
    # in FP32 at any precision, as the boxes do.
    compiler.config.clear_flag(trt.BuilderFlag.TF32)
    engine = request.folder / ENGINE
    compiled = compiler.compile()
    engine.write_bytes(compiled)
    # Only on one of its GPUs can it be loaded, and without that there is no inspector.
    seen = inspect(compiler, request, compiled) if can_run(request) else Seen(0, 0)
    compiler.close_log()
    runs_on = {"sm": list(request.compute_capabilities), **versions()}
    return Built(engine, {**settings, **seen.settings}, runs_on, doubts=seen.doubts)


def _strongly_typed() -> int:
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _choose_gpus(
    config: "trt.IBuilderConfig", capabilities: Sequence["trt.ComputeCapability"]
) -> None:
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        config.set_compute_capability(capability, index)


def _capability(number: int) -> "trt.ComputeCapability":
    capability = getattr(trt.ComputeCapability, f"SM{number}", None)
    if capability is None:
        known = [name[2:] for name in dir(trt.ComputeCapability) if name.startswith("SM")]
        raise StageError(
            f"TensorRT for RTX {trt.__version__} has no code for compute capability {number}",
            f"set the target's compute_capabilities to some of: {', '.join(known)}",
        )
    return capability


def open_session(
    engine: Path, precision: str, graph: Graph, settings: Mapping[str, object]
) -> Network:
    """Load an engine; its code is finished for this GPU now, which takes a moment."""
    return open_engine(trt, engine, graph, settings)


def versions() -> Dict[str, str]:
    """Name TensorRT for RTX's version."""
    return {"tensorrt_rtx": trt.__version__}


def can_run(request: BuildRequest) -> bool:
    """Whether there is one of the GPUs that it is compiled for."""
    return gpu_architecture() in request.compute_capabilities
