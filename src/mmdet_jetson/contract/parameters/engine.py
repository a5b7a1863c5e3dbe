"""What the stage `engine` is told."""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from mmdet_jetson.contract.parameters.base import Parameters

SMALLEST_SIDE = 32
"""How many pixels a side of a picture must have where an engine of TensorRT takes any size."""


@dataclass(frozen=True)
class BuilderSettings:
    """How TensorRT builds, beside an engine's precision.

    ``workspace`` is the scratch memory in MiB that one layer may ask for; convolutions are slower
    with less. ``largest_picture`` is how many pixels a side of a picture may have where the graph
    takes any size. ``dla`` is the deep learning accelerator that computes what it can of the
    network, the GPU the rest. ``optimization_level`` is how much building time may be spent, from 0
    to 5; None is TensorRT's own choice.
    """

    workspace: int = 1024
    largest_picture: int = 4096
    dla: Optional[int] = None
    optimization_level: Optional[int] = None


@dataclass(frozen=True)
class SessionSettings:
    """How an engine is run on a GPU; both are off, since no device has shown yet what they gain.

    ``cuda_graph``: a picture of the same size as the last one replays its work as a CUDA graph.
    ``mapped_memory``: on a GPU that has the host's own memory nothing is copied.
    """

    cuda_graph: bool = False
    mapped_memory: bool = False


@dataclass(frozen=True)
class EngineParameters(Parameters):
    """``calibration_pictures`` is a number for int8 only; GPUs are compute capabilities, as 87.

    ``needs`` is what the device must report where the engine is built on it: versions by the names
    of `stages.inference.device.reported`, each as far as it goes.
    """

    target: str
    backend: str
    precision: str
    compute_capabilities: Tuple[int, ...]
    calibration_pictures: Optional[int]
    needs: Mapping[str, str] = field(default_factory=dict)
    builder: BuilderSettings = field(default_factory=BuilderSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
