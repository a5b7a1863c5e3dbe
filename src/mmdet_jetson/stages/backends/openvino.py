"""OpenVINO on the CPU of a PC: engines are its own two files, compiled for a CPU when opened there.

The graph says in which type each value is computed, and nothing is computed less exactly than it
says. OpenVINO's own way to bfloat16, a hint when an engine is opened, would take the boxes and the
NMS along: a fused graph's NMS multiplies matrices, which ends what OpenVINO keeps exact.
"""

from pathlib import Path
from threading import Lock
from typing import Dict, Mapping, Optional

import numpy as np
import openvino as ov

from mmdet_jetson.stages.building.request import BuildRequest, Built
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import Graph
from mmdet_jetson.stages.inference.network import Arrays, Network
from mmdet_jetson.stages.inference.preprocessing import Preprocessing

ENGINE, WEIGHTS = "engine.xml", "engine.bin"
DEVICE = "CPU"
# Without a hint OpenVINO computes FP32 graphs in bfloat16 where the CPU can.
SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def build(request: BuildRequest) -> Built:
    """Write the graph, in the types of the request's precision, as ``engine.xml`` and its weights.

    Raises:
        StageError: a graph that cannot be lowered or calibrated, or with operators that OpenVINO
            lacks.
    """
    from mmdet_jetson.stages.building import quantization, typed_graph  # noqa: PLC0415

    # Of signed values OpenVINO 2026.4 makes something else on a CPU without AMX: boxes were 4
    # pixels off where ONNX Runtime computed the same graph right.
    graph = typed_graph.typed_graph(request, quantization.ASYMMETRIC)
    try:
        # `ov.convert_model`, made for this, reports to its makers that it was called.
        model = ov.Core().read_model(graph.SerializeToString())
    except RuntimeError as error:
        raise refusal(f"cannot read {request.onnx.name}", error) from error
    engine, weights = request.folder / ENGINE, request.folder / WEIGHTS
    ov.serialize(model, str(engine), str(weights))
    return Built(engine, SETTINGS, weights=weights)


def open_session(
    engine: Path, precision: str, graph: Graph, settings: Mapping[str, object]
) -> Network:
    """Compile an engine for this CPU, which takes less than a second.

    Raises:
        StageError: the engine is in bf16 and the CPU does not compute it, or it does not compile.
    """
    core = ov.Core()
    check_precision(core, precision)
    try:
        compiled = core.compile_model(str(engine), DEVICE, SETTINGS)
        inputs = [compiled.input(name) for name in graph.inputs] or compiled.inputs
        outputs = [compiled.output(name) for name in graph.outputs] or compiled.outputs
        session = compiled.create_infer_request()
    except RuntimeError as error:
        raise refusal(f"cannot open {engine.name}", error) from error

    lock = Lock()  # a request refuses to be used by two threads at a time

    def network(*values: np.ndarray) -> Arrays:
        with lock:
            found = session.infer(dict(zip(inputs, values)), share_inputs=True)
        return tuple(found[output] for output in outputs)

    return network


def check_precision(core: ov.Core, precision: str) -> None:
    """Refuse bf16 where OpenVINO would compute it in FP32, slower than a graph in FP32."""
    can = core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in can:
        name = core.get_property(DEVICE, "FULL_DEVICE_NAME")
        raise StageError(
            f"this CPU, {name}, does not compute bf16",
            'set the target\'s precision to "fp32" or "int8"',
        )


def refusal(what: str, error: RuntimeError) -> StageError:
    """Give OpenVINO's reason: the last line that is not where in its own source it was found."""
    lines = [line.strip() for line in str(error).splitlines()]
    reasons = [line for line in lines if line and not line.startswith("Exception from")]
    return StageError(
        f"OpenVINO {versions()['openvino']} {what}: {reasons[0] if reasons else error}",
        'a graph = "fused" has plain operators only; ONNX Runtime is the other backend for a CPU',
    )


def taking_pictures(
    network: Network, preprocessing: Preprocessing, batch: int
) -> Optional[Network]:
    """Leave the picture to OpenCV: there is no GPU to do it on."""
    return None


def versions() -> Dict[str, str]:
    """Name OpenVINO's version, without the commit that it was built from."""
    return {"openvino": ov.__version__.partition("-")[0]}


def can_run(request: BuildRequest) -> bool:
    """Whether there is a CPU: yes."""
    return True
