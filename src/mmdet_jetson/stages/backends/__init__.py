"""What runs engines: one module a backend, all with the functions of `Sessions`.

They need numpy and their backend only, so that they also run from the file ``infer.py`` of an
engine, on a device that has nothing else.
"""

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Protocol, Tuple

import numpy as np

from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

# Called with the graph's inputs in order, it gives the graph's outputs, first of them
# dets float32 [batch, n, 5] (x1, y1, x2, y2, score) and labels [batch, n].
Network = Callable[..., Tuple[np.ndarray, ...]]


class Sessions(Protocol):
    """The functions that a backend's module has."""

    def open_session(self, engine: Path) -> Network:
        """Load an engine, ready to run on one batch at a time."""

    def taking_pictures(
        self, network: Any, preprocessing: Preprocessing, batch: int
    ) -> Optional[Network]:
        """Let a network that takes a tensor take one picture instead, uint8 [1, height, width, 3].

        None where the backend or this machine cannot.
        """

    def versions(self) -> Dict[str, str]:
        """Name the libraries that an engine's results depend on."""

    def can_run(self) -> bool:
        """Whether this machine has what such engines run on."""


def sessions(backend: str) -> Sessions:
    """Give what runs the engines of a backend.

    Its libraries exist only where it runs, so its module is imported no earlier than here.

    Raises:
        StageError: there is no such backend, or its library is not installed here.
    """
    loaders = {
        "onnxruntime": _onnxruntime,
        "tensorrt": _tensorrt,
        "tensorrt_rtx": _tensorrt_rtx,
    }
    if backend not in loaders:
        raise StageError(
            f"there is no backend called {backend!r}",
            f"set the target's backend to one of: {', '.join(loaders)}",
        )
    try:
        return loaders[backend]()
    except ImportError as error:
        raise StageError(
            f"backend {backend!r} needs the library {error.name}, which is not installed here",
            "run this on the engine's device; `invoke doctor` tells what a machine can do",
        ) from error


def _onnxruntime() -> Sessions:
    from mmdet_jetson.stages.backends import onnxruntime  # noqa: PLC0415

    return onnxruntime


def _tensorrt() -> Sessions:
    from mmdet_jetson.stages.backends import tensorrt  # noqa: PLC0415

    return tensorrt


def _tensorrt_rtx() -> Sessions:
    from mmdet_jetson.stages.backends import tensorrt_rtx  # noqa: PLC0415

    return tensorrt_rtx
