"""Engines for ONNX Runtime on CPUs: an ONNX file whose graph is optimised once, ahead of time."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import onnx as onnx_format
import onnxruntime as ort

from mmdet_jetson.stages.detection.backends import Built, Network
from mmdet_jetson.stages.job import StageError

ENGINE = "engine.onnx"
OUTPUTS = ["dets", "labels"]
# Operator sets that ONNX Runtime's CPU build computes without a library of custom operators.
NATIVE_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
ERRORS_ONLY = 3


def build(onnx: Path, folder: Path, precision: str) -> Built:
    """Optimise the graph and save it as ``engine.onnx``.

    The level is "extended": constant folding and fusions that hold on any CPU. The next level
    rearranges weights for the instruction set of the CPU that builds, so such a file would not be
    portable; `open_session` applies it while loading instead, where it is always right.

    Raises:
        StageError: a precision other than fp32, a graph with operators ONNX Runtime lacks, or one
            that it cannot load.
    """
    if precision != "fp32":
        raise StageError(
            f"backend onnxruntime builds fp32 engines only, not {precision}",
            'set the target\'s precision to "fp32"',
        )
    _refuse_custom_operators(onnx)
    options = _options(ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    engine = folder / ENGINE
    options.optimized_model_filepath = str(engine)
    _session(onnx, options)
    return Built(engine, _max_difference(onnx, engine), {"graph_optimization": "extended"})


def open_session(engine: Path) -> Network:
    """Load an engine on all cores; the session keeps its threads until it is dropped."""
    session = _session(engine, _options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL))
    return _network(session)


def versions() -> Dict[str, str]:
    """Name ONNX Runtime's version."""
    return {"onnxruntime": ort.__version__}


def _options(level: Any) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = ERRORS_ONLY
    return options


def _session(onnx: Path, options: Any) -> Any:
    try:
        return ort.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's exceptions share no base class of their own.
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        raise StageError(
            f"ONNX Runtime {ort.__version__} cannot load {onnx.name}: {str(error).splitlines()[0]}",
            "export again; an operator set newer than this ONNX Runtime is the usual cause",
        ) from error


def _network(session: Any) -> Network:
    name = session.get_inputs()[0].name

    def network(batch: np.ndarray) -> Any:
        return tuple(session.run(OUTPUTS, {name: batch}))

    return network


def _max_difference(onnx: Path, engine: Path) -> float:
    """Run both on one picture of noise; the original without any optimisation.

    Noise, because on a blank picture many scores tie, and rounding then picks other boxes.
    """
    original = _session(onnx, _options(ort.GraphOptimizationLevel.ORT_DISABLE_ALL))
    shape = original.get_inputs()[0].shape
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected, actual = _network(original)(noise), open_session(engine)(noise)
    return _difference(_rows(expected, shape), _rows(actual, shape))


def _rows(outputs: Tuple[np.ndarray, np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """Join box (as a share of the longer side), score and label: [n, 6]."""
    dets, labels = outputs[0][0], outputs[1][0]
    scale = np.array([max(shape[2:])] * 4 + [1], np.float32)
    return np.hstack([dets / scale, labels[:, None]])


def _difference(expected: np.ndarray, actual: np.ndarray) -> float:
    """Give the largest difference between an expected row and the actual row nearest to it.

    Nearest and not same: rows whose scores differ by a rounding error may change places.
    """
    if expected.shape != actual.shape:
        return float("inf")
    apart = np.abs(expected[:, None] - actual[None]).max(axis=2)
    return float(apart.min(axis=1, initial=np.inf).max(initial=0))


def _refuse_custom_operators(onnx: Path) -> None:
    graph = onnx_format.load(str(onnx), load_external_data=False).graph
    custom = sorted({n.op_type for n in _nodes(graph) if n.domain not in NATIVE_DOMAINS})
    if custom:
        made_for = ", made for TensorRT" if any(name.startswith("TRT") for name in custom) else ""
        raise StageError(
            f"this graph holds {', '.join(custom)}{made_for}: ONNX Runtime cannot run it",
            'export the graph with backend "onnxruntime", or build it for a TensorRT target',
        )


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield every node, also of the graphs inside If and Loop."""
    for node in graph.node:
        yield node
        inner: List[Any] = [a.g for a in node.attribute if a.HasField("g")]
        for subgraph in inner:
            yield from _nodes(subgraph)
