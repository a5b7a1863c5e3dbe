"""TensorRT 8.4 to 11 on a GPU: engines are compiled on the device they are for."""

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional

import tensorrt as trt

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.stages.building.request import PLUGIN, BuildRequest, Built
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.device import device_facts, gpu_architecture
from mmdet_jetson.stages.inference.gpu import open_engine
from mmdet_jetson.stages.inference.graph import Graph
from mmdet_jetson.stages.inference.letterbox_kernel import taking_pictures
from mmdet_jetson.stages.inference.network import Network

if TYPE_CHECKING:
    from mmdet_jetson.stages.building.compiler import FileLogger

__all__ = ["build", "can_run", "load_plugin", "open_session", "taking_pictures", "versions"]

# How long each way to compute a layer takes on a device, as TensorRT measured it.
TIMING_CACHE = BACKENDS["tensorrt"].reuses
# TensorRT keeps the address of the logger that it got with its plugins.
_kept: List[object] = []


def build(request: BuildRequest) -> Built:
    """Compile for this device, keeping the builder's log and its timing cache beside the engine.

    Raises:
        StageError: a graph that this TensorRT cannot read or compile.
    """
    from mmdet_jetson.stages.building import tensorrt_precision as precision  # noqa: PLC0415
    from mmdet_jetson.stages.building.compiler import ENGINE, LOG, Compiler  # noqa: PLC0415
    from mmdet_jetson.stages.building.engine_layers import inspect  # noqa: PLC0415
    from mmdet_jetson.stages.building.tensorrt_settings import apply_settings  # noqa: PLC0415

    compiler = Compiler(trt, precision.network_flags(trt), request.folder / LOG)
    settings = apply_settings(compiler, request.settings)
    if request.plugin:
        load_plugin(request.plugin, compiler.logger)
    model = precision.model_for(trt, request)
    compiler.parse(model)
    settings.update(compiler.add_profile(request))
    settings.update(precision.set_precision(compiler, request, model))
    settings["timings_reused"] = _set_timing_cache(compiler.config, request.reused)
    compiled = compiler.compile()
    engine = request.folder / ENGINE
    engine.write_bytes(compiled)
    timing = compiler.config.get_timing_cache().serialize()
    (request.folder / TIMING_CACHE).write_bytes(bytes(memoryview(timing)))
    seen = inspect(compiler, request, compiled)
    compiler.close_log()
    runs_on = {k: v for k, v in device_facts(versions()).by_name().items() if v is not None}
    return Built(engine, {**settings, **seen.settings}, runs_on, doubts=seen.doubts)


def _set_timing_cache(config: "trt.IBuilderConfig", earlier: Optional[Path]) -> bool:
    """Start from an earlier build's timings; return whether TensorRT took them.

    It knows by itself which ones are of another GPU or of another TensorRT.
    """
    if earlier:
        cache = config.create_timing_cache(earlier.read_bytes())
        if cache is not None and config.set_timing_cache(cache, False):
            return True
    config.set_timing_cache(config.create_timing_cache(b""), False)
    return False


def open_session(
    engine: Path, precision: str, graph: Graph, settings: Mapping[str, object]
) -> Network:
    """Load an engine, with the library of custom operators where one lies beside it."""
    plugin = engine.with_name(PLUGIN)
    if plugin.exists():
        load_plugin(plugin, trt.Logger(trt.Logger.WARNING))
    return open_engine(trt, engine, graph, settings)


def load_plugin(library: Path, logger: "FileLogger") -> None:
    """Make a library's custom operators known to TensorRT.

    Raises:
        StageError: it cannot be loaded, as one that was compiled for another TensorRT.
    """
    _kept.append(logger)
    trt.init_libnvinfer_plugins(logger, "")
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise StageError(
            f"the plugin library {library.name} cannot be loaded: {error}",
            f"compile it on this device, for TensorRT {trt.__version__}; "
            'or set graph = "fused", which needs none',
        ) from error


def versions() -> Dict[str, str]:
    """Name TensorRT's full version."""
    return {"tensorrt": trt.__version__}


def can_run(request: BuildRequest) -> bool:
    """Whether there is a GPU."""
    return gpu_architecture() is not None
