"""Open an engine, or an exported graph, as a detector.

detector = open_engine(Path("engine"))
detections = detector.detect(read_picture(Path("balloon.jpg")))
"""

from pathlib import Path
from typing import Optional, Tuple

from mmdet_jetson.stages.backends import Backend, load_backend
from mmdet_jetson.stages.building.request import BuildRequest, Built
from mmdet_jetson.stages.engines.preflight import preflight
from mmdet_jetson.stages.inference.detector import Detector, detector_of
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.graph import (
    IMAGE,
    ONNX,
    TENSOR,
    Graph,
    preprocessing_of,
    read_graph,
)
from mmdet_jetson.stages.inference.network import Network
from mmdet_jetson.stages.inference.passport import Passport

# What the exported graph itself is run in.
REFERENCE = "onnxruntime"


def open_engine(folder: Path) -> Detector:
    """Open an `engine` artifact of either graph.

    Raises:
        StageError: `preflight` refuses it, or its preprocessing is not supported.
    """
    passport = preflight(folder)
    backend = load_backend(passport.backend)
    graph, file = read_graph(folder), folder / passport.engine.file
    network = backend.open_session(file, passport.precision, graph, passport.settings)
    return _around(backend, network, folder, graph, passport)


def open_graph(folder: Path) -> Detector:
    """Open an `onnx` artifact in ONNX Runtime; there is no passport yet.

    Raises:
        StageError: its preprocessing or its operators are not supported here.
    """
    backend, graph = load_backend(REFERENCE), read_graph(folder)
    network = backend.open_session(folder / ONNX, "fp32", graph, {})
    return _around(backend, network, folder, graph, None)


def open_built(backend: Backend, built: Built, request: BuildRequest) -> Detector:
    """Open what was just built, which has no passport yet.

    Raises:
        StageError: it cannot be opened, or its preprocessing is not supported.
    """
    graph = request.graph
    network = backend.open_session(built.file, request.precision, graph, built.settings)
    return _around(backend, network, request.folder, graph, None)


def _around(
    backend: Backend, network: Network, folder: Path, graph: Graph, passport: Optional[Passport]
) -> Detector:
    feeding = Feeding(preprocessing_of(folder, graph), graph.input, graph.batch)
    feeding, network = _on_gpu(backend, feeding, network)
    return detector_of(graph, feeding, network, passport)


def _on_gpu(backend: Backend, feeding: Feeding, network: Network) -> Tuple[Feeding, Network]:
    """Let the GPU prepare pictures where the graph takes a tensor and the backend can."""
    if feeding.mode != TENSOR:
        return feeding, network
    taking = backend.taking_pictures(network, feeding.preprocessing, feeding.batch)
    return (Feeding(feeding.preprocessing, IMAGE), taking) if taking else (feeding, network)
