"""A real Triton serves an exported model: `tritonserver` on the PATH, with ``backends/`` beside ``bin/``.

The package nvidia-pytriton brings one for a CPU, without the backend for ONNX Runtime; its Python backend
stands in, with the same configuration. Its stub for this Python has to lie in ``backends/python``.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from exported_engines import onnxruntime_engine

from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.pipelines import triton
from mmdet_jetson.stages.pipelines.described_engine import describe_engine

SERVER = shutil.which("tritonserver")
pytestmark = pytest.mark.skipif(SERVER is None, reason="no tritonserver on the PATH")
KINDS = {"uint8": "UINT8", "float32": "FP32", "int32": "INT32"}
LENGTH = "Inference-Header-Content-Length"
MODEL = """
from pathlib import Path
import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, told):
        file = Path(told["model_repository"], told["model_version"], "model.onnx")
        self.session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = [each.name for each in self.session.get_inputs()]
        # By DLPack: a backend that was built for NumPy 1 misreads the arrays of NumPy 2.
        tensors = {name: triton.get_input_tensor_by_name(request, name) for name in names}
        fed = {name: np.from_dlpack(tensor).copy() for name, tensor in tensors.items()}
        outputs = [each.name for each in self.session.get_outputs()]
        made = self.session.run(outputs, fed)
        return triton.InferenceResponse(
            [triton.Tensor.from_dlpack(*pair) for pair in zip(outputs, made)]
        )
"""


@contextmanager
def serving(models: Path) -> Iterator[str]:
    """Start a server and give its address once it answers, or else "". Its log is ``models.log``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with models.with_suffix(".log").open("w") as log:
        server = subprocess.Popen(
            [
                "tritonserver",
                f"--model-repository={models}",
                f"--backend-directory={Path(str(SERVER)).resolve().parents[1] / 'backends'}",
                "--disable-auto-complete-config",
                "--http-address=127.0.0.1",
                f"--http-port={port}",
                "--allow-grpc=false",
                "--allow-metrics=false",
            ],
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": next(path for path in sys.path if path.endswith("site-packages")),
            },
        )
        address = f"http://127.0.0.1:{port}/v2"
        try:
            while server.poll() is None and not is_ready(address):
                time.sleep(0.2)
            yield address if server.poll() is None else ""
        finally:
            server.terminate()
            server.wait(60)


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=5):
            return True
    except OSError:
        return False


def infer(address: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Ask for all outputs, by the binary extension of KServe's protocol."""
    told = [
        {
            "name": name,
            "datatype": KINDS[value.dtype.name],
            "shape": value.shape,
            "parameters": {"binary_data_size": value.nbytes},
        }
        for name, value in inputs.items()
    ]
    asked = {"inputs": told, "parameters": {"binary_data_output": True}}
    header = json.dumps(asked).encode()
    request = urllib.request.Request(
        f"{address}/models/pc/infer",
        b"".join([header, *(value.tobytes() for value in inputs.values())]),
        {LENGTH: str(len(header)), "Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        length, body = int(answer.headers[LENGTH]), answer.read()
    outputs, rest = {}, body[length:]
    for each in json.loads(body[:length])["outputs"]:
        size = each["parameters"]["binary_data_size"]
        kind = next(name for name, told in KINDS.items() if told == each["datatype"])
        outputs[each["name"]] = np.frombuffer(rest[:size], kind).reshape(each["shape"])
        rest = rest[size:]
    return outputs


def exported(tmp_path: Path) -> tuple[Path, Path]:
    """Give an engine's folder, and a repository with its model."""
    engine, models = onnxruntime_engine(tmp_path), tmp_path / "models"
    models.mkdir()
    triton.write(describe_engine(engine), models)
    return engine, models


def test_nothing_but_the_backend_is_missing(tmp_path: Path) -> None:
    """Without it a server gets as far as that: it has read and checked the configuration."""
    _, models = exported(tmp_path)
    with serving(models) as address:
        said = models.with_suffix(".log").read_text()
    assert address or "unable to find backend library for backend 'onnxruntime'" in said


def test_it_detects_what_our_own_detector_does(tmp_path: Path) -> None:
    engine, models = exported(tmp_path)
    config = models / "pc/config.pbtxt"
    lines = config.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("backend:", "platform:"))]
    config.write_text("\n".join([*kept, 'backend: "python"', ""]))
    (models / "pc/1/model.py").write_text(MODEL)
    picture = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    detector = open_engine(engine)
    scaled, mapping = detector.feeding(picture)

    with serving(models) as address:
        assert address, models.with_suffix(".log").read_text()
        answer = infer(address, picture=scaled, mapping=mapping)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            infer(address, picture=scaled[:, :, :, :2], mapping=mapping)

    outputs = tuple(answer[name] for name in ("dets", "labels", "nms"))
    served = detector.postprocess(outputs, (80, 48))
    ours = detector.detect(picture)
    assert len(ours) > 0
    assert [found.label for found in served] == [found.label for found in ours]
    assert [found.score for found in served] == pytest.approx([found.score for found in ours])
    for there, here in zip(served, ours, strict=True):
        assert there.box == pytest.approx(here.box)
