"""Engines for ONNX Runtime on CPUs: an ONNX file whose graph is optimised once, ahead of time."""

from pathlib import Path
from tempfile import TemporaryDirectory

from onnxruntime import GraphOptimizationLevel

from mmdet_jetson.stages.backends.onnxruntime import load, options
from mmdet_jetson.stages.building import Built, Request
from mmdet_jetson.stages.building.operators import check_operators
from mmdet_jetson.stages.building.quantization import FOR_ONNXRUNTIME, quantize
from mmdet_jetson.stages.errors import StageError

ENGINE = "engine.onnx"


def build(request: Request) -> Built:
    """Optimise the graph and save it as ``engine.onnx``.

    The level is "extended": constant folding and fusions that hold on any CPU. The next level
    rearranges weights for the instruction set of the CPU that builds, so such a file would not be
    portable; a session applies it while loading instead, where it is always right.

    Raises:
        StageError: precision fp16, a graph with operators ONNX Runtime lacks, or one that it cannot
            load or calibrate.
    """
    if request.precision == "fp16":
        raise StageError(
            "ONNX Runtime computes fp16 on a CPU by way of fp32, which is slower than fp32 alone",
            'set the target\'s precision to "fp32" or "int8"',
        )
    check_operators(request.onnx)
    engine = request.folder / ENGINE
    chosen = options(GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    chosen.optimized_model_filepath = str(engine)
    with TemporaryDirectory() as scratch:
        onnx = request.onnx
        if request.precision == "int8":
            onnx = quantize(request, FOR_ONNXRUNTIME, Path(scratch) / "int8.onnx")
        load(onnx, chosen)
    return Built(engine, {"graph_optimization": "extended"})
