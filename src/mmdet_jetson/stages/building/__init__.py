"""What builds engines: one module a backend, each with a function ``build`` of type `Build`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from mmdet_jetson.stages.backends import sessions

# How long each way to compute a layer takes on a device, as TensorRT measured it.
TIMING_CACHE = "timing.cache"


@dataclass(frozen=True)
class Request:
    """What to build.

    ``graph`` is the content of the graph.json beside ``onnx``; ``folder`` takes the engine and what
    belongs to it. ``calibration`` are pictures, for int8 only. ``compute_capabilities`` are GPU
    architectures without their dot, for a builder that needs no such GPU. ``plugin`` is the library
    of the custom operators in the graph. ``timings`` is the timing cache of an earlier build.
    """

    onnx: Path
    folder: Path
    precision: str
    graph: Mapping[str, Any]
    calibration: Sequence[Path] = ()
    compute_capabilities: Sequence[int] = ()
    plugin: Optional[Path] = None
    timings: Optional[Path] = None


@dataclass(frozen=True)
class Built:
    """A fresh engine.

    ``settings`` are the builder's that matter; ``runs_on`` is what a device must report to run it
    (the keys of `device.device_facts`).
    """

    file: Path
    settings: Dict[str, Any]
    runs_on: Dict[str, Any] = field(default_factory=dict)


Build = Callable[[Request], Built]


def builder(backend: str) -> Build:
    """Give what builds the engines of a backend: the function ``build`` of its module.

    Raises:
        StageError: there is no such backend, or its library is not installed here.
    """
    sessions(backend)
    loaders = {"onnxruntime": _onnxruntime, "tensorrt": _tensorrt, "tensorrt_rtx": _tensorrt_rtx}
    return loaders[backend]()


def _onnxruntime() -> Build:
    from mmdet_jetson.stages.building import onnxruntime  # noqa: PLC0415

    return onnxruntime.build


def _tensorrt() -> Build:
    from mmdet_jetson.stages.building import tensorrt  # noqa: PLC0415

    return tensorrt.build


def _tensorrt_rtx() -> Build:
    from mmdet_jetson.stages.building import tensorrt_rtx  # noqa: PLC0415

    return tensorrt_rtx.build
