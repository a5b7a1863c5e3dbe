"""TensorRT for RTX on a GPU."""

from pathlib import Path
from typing import Dict

# The package tensorrt-rtx-cu12 only forwards to this one, and exists as source only.
import tensorrt_rtx_bindings as trt

from mmdet_jetson.stages.backends import Network
from mmdet_jetson.stages.inference.device import gpu_architecture
from mmdet_jetson.stages.inference.gpu import open_engine
from mmdet_jetson.stages.inference.letterbox_kernel import taking_pictures

__all__ = ["can_run", "open_session", "taking_pictures", "trt", "versions"]


def open_session(engine: Path) -> Network:
    """Load an engine; its code is finished for this GPU now, which takes a moment."""
    return open_engine(trt, engine)


def versions() -> Dict[str, str]:
    """Name TensorRT for RTX's version."""
    return {"tensorrt_rtx": trt.__version__}


def can_run() -> bool:
    """Whether there is a GPU."""
    return gpu_architecture() is not None
