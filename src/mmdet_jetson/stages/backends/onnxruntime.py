"""ONNX Runtime on a CPU: engines are ONNX files whose graph is optimised once, ahead of time."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Dict, Mapping, Optional, Sequence

import numpy as np
import onnxruntime as ort

from mmdet_jetson.stages.building.request import BuildRequest, Built
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import Graph
from mmdet_jetson.stages.inference.network import Arrays, Network, in_order
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

ENGINE = "engine.onnx"
ERRORS_ONLY = 3


def build(request: BuildRequest) -> Built:
    """Optimise the graph and save it as ``engine.onnx``.

    The level is "extended": constant folding and fusions that hold on any CPU. The next level
    rearranges weights for the instruction set of the CPU that builds, so such a file would not be
    portable; a session applies it while loading instead, where it is always right.

    Raises:
        StageError: a graph with operators ONNX Runtime lacks, or one that it cannot load or
            calibrate.
    """
    from mmdet_jetson.stages.building import operators, quantization  # noqa: PLC0415

    operators.check_operators(request.onnx)
    engine = request.folder / ENGINE
    chosen = options(ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    chosen.optimized_model_filepath = str(engine)
    with TemporaryDirectory() as scratch:
        onnx = request.onnx
        if request.precision == "int8":
            into = Path(scratch) / "int8.onnx"
            onnx = quantization.quantize(request, quantization.ON_BOTH_SIDES, into)
        load(onnx, chosen)
    return Built(engine, {"graph_optimization": "extended"})


def open_session(
    engine: Path, precision: str, graph: Graph, settings: Mapping[str, object]
) -> Network:
    """Load an engine on all cores; the session keeps its threads until it is dropped."""
    session = load(engine, options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL))
    return network_of(session, graph.inputs, graph.outputs)


def taking_pictures(
    network: Network, preprocessing: Preprocessing, batch: int
) -> Optional[Network]:
    """Leave the picture to OpenCV: there is no GPU to do it on."""
    return None


def versions() -> Dict[str, str]:
    """Name ONNX Runtime's version."""
    return {"onnxruntime": ort.__version__}


def can_run(request: BuildRequest) -> bool:
    """Whether there is a CPU: yes."""
    return True


def options(level: ort.GraphOptimizationLevel) -> ort.SessionOptions:
    """Give a session's options: how far to optimise, and silence about anything but errors."""
    chosen = ort.SessionOptions()
    chosen.graph_optimization_level = level
    chosen.log_severity_level = ERRORS_ONLY
    return chosen


def load(onnx: Path, chosen: ort.SessionOptions) -> ort.InferenceSession:
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


def network_of(
    session: ort.InferenceSession, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> Network:
    """Wrap a session: inputs and outputs in the order that is named, else in the file's."""
    given = in_order(inputs, [value.name for value in session.get_inputs()], "the graph")
    returned = in_order(outputs, [value.name for value in session.get_outputs()], "the graph")

    def network(*values: np.ndarray) -> Arrays:
        return tuple(session.run(returned, dict(zip(given, values))))

    return network
