"""Engines built and run on a real GPU, beside ONNX Runtime on the CPU.

``MMDET_JETSON_ONNX=FOLDER`` has a real `onnx` artifact (of ``invoke export``) built and compared, too.
"""

import importlib
import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import List, Sequence, Tuple

import cv2
import numpy as np
import pytest
from on_gpu import Program, noise
from small_graphs import MODES, build, export

from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.stages.engines import opening
from mmdet_jetson.stages.engines.opening import open_engine, open_graph
from mmdet_jetson.stages.engines.preflight import preflight
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.boxes import Detection
from mmdet_jetson.stages.inference.detector import Detector
from mmdet_jetson.stages.inference.gpu import GpuSession
from mmdet_jetson.stages.inference.letterbox_kernel import PictureSession

BACKENDS = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt_rtx_bindings"}
# How far scores may be from those of FP32 on the CPU. Half precision has 10 bits behind the point;
# with 8 bits a value is up to a 256th of its range off, in each layer.
TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2, "int8": 5e-2}
# Boxes never leave FP32: pixels.
PIXELS = 0.05
PICTURES = [(80, 48), (64, 64), (31, 200), (640, 480)]
REAL = os.environ.get("MMDET_JETSON_ONNX")


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    try:
        importlib.import_module(BACKENDS[name])
    except ImportError as error:
        pytest.skip(f"{name}: {error}")
    return name


@pytest.fixture(scope="session", params=[*MODES, "real"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param != "real":
        return export(tmp_path_factory.mktemp("export") / "onnx", request.param)
    if REAL is None:
        pytest.skip("MMDET_JETSON_ONNX names no folder of a real export")
    return Path(REAL)


@pytest.fixture(scope="session", params=TOLERANCES)
def precision(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def built(
    backend: str, source: Path, precision: str, gpu: Gpu, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp(f"{backend}-{precision}")
    try:
        return build(folder, source, backend, precision, gpu.sm)
    except StageError as error:
        if "has no code for compute capability" not in error.message:
            raise
        pytest.skip(error.message)


@pytest.fixture
def detector(built: Path, only: str) -> Detector:
    return open_engine(built)


def difference(expected: Sequence[Detection], found: Sequence[Detection]) -> Tuple[float, float]:
    """How far scores and corners are apart, pairing what is nearest, of what is no noise."""
    chosen = [each for each in expected if each.score > 0.1]
    scores, corners = [0.0], [0.0]
    for each in chosen:
        same = [other for other in found if other.label == each.label]
        assert same, f"nothing of class {each.label} found beside {found}"
        by_corner = [np.abs(np.subtract(other.box, each.box)).max() for other in same]
        nearest = int(np.argmin(by_corner))
        corners.append(float(by_corner[nearest]))
        scores.append(abs(same[nearest].score - each.score))
    return max(scores), max(corners)


def test_detections_are_those_of_onnx_runtime(
    detector: Detector, source: Path, precision: str
) -> None:
    reference = open_graph(source)
    for size in PICTURES:
        picture = noise(*size)
        expected, found = reference.detect(picture), detector.detect(picture)
        assert expected or source == Path(str(REAL)), "the small graph always finds something"
        scores, corners = difference(expected, found)
        assert scores <= TOLERANCES[precision], size
        assert corners <= PIXELS or precision != "fp32", size


def test_the_stage_compared_the_engine_with_the_graph(built: Path, precision: str) -> None:
    compared = json.loads((built / "passport.json").read_text())["compared"]["max_difference"]

    assert compared is not None, "nothing was compared"
    assert compared <= TOLERANCES[precision]


def test_a_tensor_is_prepared_on_the_gpu(detector: Detector, source: Path, only: str) -> None:
    mode = json.loads((source / "graph.json").read_text())["input"]

    is_kernel = isinstance(detector.network, PictureSession)

    if mode == "tensor" and (only == "CudaPython" or shutil.which("nvcc")):
        assert is_kernel
    if mode != "tensor":
        assert isinstance(detector.network, GpuSession)


def test_the_same_picture_gives_the_same_after_larger_and_smaller_ones(detector: Detector) -> None:
    first = detector.detect(noise(80, 48))
    for size in [(640, 480), (33, 35), (1920, 1080)]:
        detector.detect(noise(*size))

    assert detector.detect(noise(80, 48)) == first
    assert getattr(detector.network, "milliseconds", 0) > 0


def test_a_cuda_graph_and_mapped_memory_give_the_same(
    built: Path, only: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_engine(built)
    monkeypatch.setattr(
        opening,
        "preflight",
        lambda folder: replace(
            preflight(folder), settings={"cuda_graph": True, "mapped_memory": True}
        ),
    )
    other = open_engine(built)

    for size in (*PICTURES, *PICTURES[-1:] * 4):
        assert other.detect(noise(*size)) == plain.detect(noise(*size)), size
    network = other.network
    session = network.session if isinstance(network, PictureSession) else network
    assert isinstance(session, GpuSession)
    assert session.replaying
    assert session.replaying.graph, "nothing was captured"


def test_threads_that_did_not_open_it_detect_the_same(detector: Detector) -> None:
    """As callbacks of ROS and GStreamer and a server's workers do, several at a time."""
    expected = {size: detector.detect(noise(*size)) for size in PICTURES}
    wrong: List[str] = []

    def work(size: Tuple[int, int]) -> None:
        try:
            for _ in range(20):
                if detector.detect(noise(*size)) != expected[size]:
                    wrong.append(f"{size}: other detections")
        except Exception as error:
            wrong.append(f"{size}: {error!r}")

    threads = [threading.Thread(target=work, args=(size,)) for size in PICTURES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_detector_that_was_opened_in_a_thread_outlives_it(built: Path, only: str) -> None:
    opened: List[Detector] = []
    thread = threading.Thread(target=lambda: opened.append(open_engine(built)))
    thread.start()
    thread.join()
    assert opened, "the thread failed"

    assert opened[0].detect(noise(80, 48)) == open_engine(built).detect(noise(80, 48))


def test_the_folder_runs_by_itself(built: Path, tmp_path: Path, program: Program) -> None:
    cv2.imwrite(str(tmp_path / "noise.png"), noise(80, 48))

    done = program(
        str(built / "infer.py"), str(tmp_path / "noise.png"), "--into", str(tmp_path / "drawn")
    )

    assert done.returncode == 0, done.stderr
    assert "ms of it on the GPU" in done.stdout
    assert (tmp_path / "drawn/noise_detected.jpg").exists()
