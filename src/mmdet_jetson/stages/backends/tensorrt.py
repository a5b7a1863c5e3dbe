"""TensorRT 8.4 to 11 on a GPU."""

import ctypes
from pathlib import Path
from typing import Any, Dict

import tensorrt as trt

from mmdet_jetson.stages.backends import Network
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.device import gpu_architecture
from mmdet_jetson.stages.inference.gpu import open_engine
from mmdet_jetson.stages.inference.letterbox_kernel import taking_pictures

__all__ = ["can_run", "load_plugin", "open_session", "taking_pictures", "versions"]

PLUGIN = "plugin.so"


def open_session(engine: Path) -> Network:
    """Load an engine, with the library of custom operators where one lies beside it."""
    plugin = engine.with_name(PLUGIN)
    if plugin.exists():
        load_plugin(plugin, trt.Logger(trt.Logger.WARNING))
    return open_engine(trt, engine)


def load_plugin(library: Path, logger: Any) -> None:
    """Make a library's custom operators known to TensorRT.

    Raises:
        StageError: it cannot be loaded, as one that was compiled for another TensorRT.
    """
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


def can_run() -> bool:
    """Whether there is a GPU."""
    return gpu_architecture() is not None
