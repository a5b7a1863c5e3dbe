"""What OpenVINO's backend asks of a CPU, against a stand-in of its module.

Engines are really built and run in `tests/integration/test_openvino_engines.py`, in an environment that has
OpenVINO.
"""

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import onnx
import pytest
from fused import fused_folder

from mmdet_jetson.stages.backends import Backend
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import Graph, read_graph

GRAPH = Graph("fused", ("balloon",), (64, 64), inputs=("picture",), outputs=("dets",))
MODULE = "mmdet_jetson.stages.backends.openvino"
REASON = """Exception from src/frontends/onnx/frontend/src/frontend.cpp:100:
FrontEnd API failed with OpConversionFailure:
details
"""
Settings = dict[str, str]


class Compiled:
    def input(self, name: str) -> str:
        return name

    output = input

    def create_infer_request(self) -> "Request":
        return Request()


class Request:
    """As openvino.InferRequest, which one thread may use at a time."""

    def __init__(self) -> None:
        self.busy = False

    def infer(self, values: dict[str, np.ndarray], share_inputs: bool) -> dict[str, np.ndarray]:
        if self.busy:
            raise RuntimeError("Infer Request is busy")
        self.busy = True
        time.sleep(0.01)
        self.busy = False
        return {"dets": values["picture"] + 1}


class Core:
    """As openvino.Core, on a CPU with some capabilities."""

    capabilities: tuple[str, ...] = ("FP32", "INT8")
    compiled: list[Settings] = []  # noqa: RUF012

    def get_property(self, device: str, name: str) -> object:
        assert device == "CPU"
        return {
            "OPTIMIZATION_CAPABILITIES": list(self.capabilities),
            "FULL_DEVICE_NAME": "Some CPU",
        }[name]

    def read_model(self, content: bytes) -> onnx.ModelProto:
        model = onnx.load_model_from_string(content)
        if any(node.domain for node in model.graph.node):
            raise RuntimeError(REASON)
        return model

    def compile_model(self, engine: str, device: str, settings: Settings) -> Compiled:
        assert Path(engine).exists()
        self.compiled.append(settings)
        return Compiled()


def serialize(model: onnx.ModelProto, engine: str, weights: str) -> None:
    Path(engine).write_bytes(model.SerializeToString())
    Path(weights).write_bytes(b"weights")


Load = Callable[..., Backend]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import the backend on a machine whose CPU has these capabilities."""

    def load(*capabilities: str) -> Backend:
        stand_in = ModuleType("openvino")
        core = type("Core", (Core,), {"capabilities": capabilities, "compiled": []})
        vars(stand_in).update(Core=core, serialize=serialize, __version__="2026.4.1-1-abc")
        monkeypatch.setitem(sys.modules, "openvino", stand_in)
        monkeypatch.delitem(sys.modules, MODULE, raising=False)
        return cast("Backend", importlib.import_module(MODULE))

    yield load
    sys.modules.pop(MODULE, None)


@pytest.fixture
def request_(tmp_path: Path) -> Callable[[str], BuildRequest]:
    folder = fused_folder(tmp_path / "onnx")
    (tmp_path / "engine").mkdir()
    return lambda precision: BuildRequest(
        folder / "end2end.onnx", tmp_path / "engine", precision, read_graph(folder)
    )


def test_bf16_is_built_and_opened_where_the_cpu_computes_it(
    backend: Load, request_: Callable[[str], BuildRequest]
) -> None:
    openvino = backend("FP32", "BF16")

    built = openvino.build(request_("bf16"))
    openvino.open_session(built.file, "bf16", GRAPH, {})

    graph = onnx.load(str(built.file)).graph
    assert onnx.TensorProto.BFLOAT16 in {weight.data_type for weight in graph.initializer}
    assert built.weights is not None
    assert built.weights.read_bytes() == b"weights"
    assert openvino.versions() == {"openvino": "2026.4.1"}


def test_bf16_is_built_anywhere_and_not_opened_where_it_would_be_computed_in_fp32(
    backend: Load, request_: Callable[[str], BuildRequest], tmp_path: Path
) -> None:
    openvino = backend("FP32", "INT8")
    (tmp_path / "engine.xml").touch()

    assert openvino.build(request_("bf16")).file.exists()
    with pytest.raises(StageError, match="this CPU, Some CPU, does not compute bf16"):
        openvino.open_session(tmp_path / "engine.xml", "bf16", GRAPH, {})
    openvino.open_session(tmp_path / "engine.xml", "fp32", GRAPH, {})


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_whatever_the_graph_says_is_exact_stays_exact(
    backend: Load, tmp_path: Path, precision: str
) -> None:
    """OpenVINO's default on a CPU with bf16 is to compute FP32 graphs in it."""
    openvino = backend("FP32", "BF16")
    (tmp_path / "engine.xml").touch()

    openvino.open_session(tmp_path / "engine.xml", precision, GRAPH, {})

    (settings,) = sys.modules["openvino"].Core.compiled
    assert settings["INFERENCE_PRECISION_HINT"] == "f32"


def test_a_graph_that_openvino_does_not_know_is_one_sentence(
    backend: Load, request_: Callable[[str], BuildRequest]
) -> None:
    openvino, asked = backend("FP32"), request_("fp32")
    model = onnx.load(str(asked.onnx))
    custom = onnx.helper.make_node("TRTBatchedNMS", ["logits"], ["boxes_"], domain="mmdeploy")
    model.graph.node.append(custom)
    onnx.save(model, str(asked.onnx))

    with pytest.raises(
        StageError, match=r"cannot read end2end\.onnx: FrontEnd API failed"
    ) as caught:
        openvino.build(asked)

    assert "\n" not in caught.value.message


def test_threads_take_turns(backend: Load, tmp_path: Path) -> None:
    (tmp_path / "engine.xml").touch()
    network = backend("FP32").open_session(tmp_path / "engine.xml", "fp32", GRAPH, {})
    found: list[int] = []

    def call(value: int) -> None:
        found.append(int(network(np.array([value]))[0][0]))

    threads = [threading.Thread(target=call, args=(value,)) for value in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [1, 2, 3, 4, 5]
