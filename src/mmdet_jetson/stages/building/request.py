"""What is asked of a builder, and what it answers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional, Sequence

from mmdet_jetson.contract.parameters.engine import BuilderSettings
from mmdet_jetson.stages.inference.graph import Graph

PLUGIN = "plugin.so"
"""The library of custom operators, beside the engine that needs it."""


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    ``graph`` describes ``onnx``, in the graph.json beside it; ``folder`` takes the engine and what
    belongs to it. ``calibration`` are pictures, for int8 only. ``compute_capabilities`` are GPU
    architectures without their dot, for a builder that needs no such GPU. ``plugin`` is the library
    of the custom operators in the graph. ``reused`` is the file of an earlier engine that the
    backend starts from (`contract.backends.BackendTraits.reuses`), where there is one. ``settings``
    are the builder's.
    """

    onnx: Path
    folder: Path
    precision: str
    graph: Graph
    calibration: Sequence[Path] = ()
    compute_capabilities: Sequence[int] = ()
    plugin: Optional[Path] = None
    reused: Optional[Path] = None
    settings: BuilderSettings = field(default_factory=BuilderSettings)


@dataclass(frozen=True)
class Built:
    """A fresh engine: the file to open, and the one with its weights where they are apart.

    ``settings`` are the builder's that matter; ``runs_on`` is what a device must report to run it
    (the names of `DeviceFacts.by_name`). ``doubts`` are sentences the user should read.
    """

    file: Path
    settings: Mapping[str, object]
    runs_on: Mapping[str, object] = field(default_factory=dict)
    weights: Optional[Path] = None
    doubts: Sequence[str] = ()
