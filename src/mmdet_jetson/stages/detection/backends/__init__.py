"""What builds and runs engines: one module a backend, all with the functions of `Backend`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Protocol, Tuple

import numpy as np

from mmdet_jetson.stages.job import StageError

# float32 [1, 3, height, width] -> dets float32 [1, n, 5] (x1, y1, x2, y2, score), labels [1, n]
Network = Callable[[np.ndarray], Tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Built:
    """A fresh engine.

    ``max_difference`` is how far the engine's detections are from those of the ONNX file it was
    built from, at most: in score, and in box corners as a share of the picture's longer side.
    ``settings`` are the builder's that matter.
    """

    file: Path
    max_difference: float
    settings: Dict[str, Any]


class Backend(Protocol):
    """The functions that a backend's module has."""

    def build(self, onnx: Path, folder: Path, precision: str) -> Built:
        """Compile an ONNX file into an engine inside ``folder``."""

    def open_session(self, engine: Path) -> Network:
        """Load an engine, ready to run on one picture at a time."""

    def versions(self) -> Dict[str, str]:
        """Name the libraries that an engine's results depend on."""


def backend(name: str) -> Backend:
    """Give the backend called ``name``.

    Its libraries exist only where it runs, so its module is imported no earlier than here.
    """
    loaders = {"onnxruntime": _onnxruntime}
    if name not in loaders:
        raise StageError(
            f"there is no backend called {name!r} in this environment",
            f"set the target's backend to one of: {', '.join(loaders)}",
        )
    return loaders[name]()


def _onnxruntime() -> Backend:
    from mmdet_jetson.stages.detection.backends import onnxruntime  # noqa: PLC0415

    return onnxruntime
