"""ONNX Runtime on a CPU."""

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
import onnxruntime as ort

from mmdet_jetson.stages.backends import Network
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

ERRORS_ONLY = 3


def open_session(engine: Path) -> Network:
    """Load an engine on all cores; the session keeps its threads until it is dropped."""
    return network_of(load(engine, options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL)))


def taking_pictures(
    network: Network, preprocessing: Preprocessing, batch: int
) -> Optional[Network]:
    """Leave the picture to OpenCV: there is no GPU to do it on."""
    return None


def versions() -> Dict[str, str]:
    """Name ONNX Runtime's version."""
    return {"onnxruntime": ort.__version__}


def can_run() -> bool:
    """Whether there is a CPU: yes."""
    return True


def options(level: Any) -> Any:
    """Give a session's options: how far to optimise, and silence about anything but errors."""
    chosen = ort.SessionOptions()
    chosen.graph_optimization_level = level
    chosen.log_severity_level = ERRORS_ONLY
    return chosen


def load(onnx: Path, chosen: Any) -> Any:
    """Load an ONNX file.

    Raises:
        StageError: ONNX Runtime refuses it.
    """
    try:
        return ort.InferenceSession(str(onnx), chosen, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's exceptions share no base class of their own.
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        raise StageError(
            f"ONNX Runtime {ort.__version__} cannot load {onnx.name}: {str(error).splitlines()[0]}",
            "export again; an operator set newer than this ONNX Runtime is the usual cause",
        ) from error


def network_of(session: Any) -> Network:
    """Wrap a session: inputs by their place, outputs in the order of the file."""
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]

    def network(*values: np.ndarray) -> Tuple[np.ndarray, ...]:
        return tuple(session.run(outputs, dict(zip(inputs, values))))

    return network
