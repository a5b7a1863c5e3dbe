"""A suite for a machine with an NVIDIA GPU; without one, or its library, it skips in one line."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest
from on_gpu import Program

from mmdet_jetson.contract.nvidia import Gpu
from mmdet_jetson.stages.inference import cuda as cuda_packages
from mmdet_jetson.stages.inference.cuda_api import Cuda
from mmdet_jetson.stages.inference.device import first_gpu

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER.parents[1] / "src"
KINDS = {"PyCuda": "pycuda.driver", "CudaPython": "cuda.bindings.driver"}


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Without a GPU skip one test for all of them: one line says enough."""
    here = [item for item in items if FOLDER in item.path.parents]
    if first_gpu() is not None or not here:
        return
    here[0].add_marker(pytest.mark.skip("there is no NVIDIA GPU here, or it may not be opened"))
    items[:] = [item for item in items if item not in here[1:]]
    config.hook.pytest_deselected(items=here[1:])


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    """The GPU that CUDA gives programs."""
    found = first_gpu()
    assert found is not None
    return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of each class for CUDA whose package is installed."""
    name: str = request.param
    try:
        importlib.import_module(KINDS[name])
    except ImportError as error:
        pytest.skip(f"{name}: {error}")
    return name


@pytest.fixture
def idle_cuda(kind: str) -> Cuda:
    """CUDA that no thread holds."""
    opened: Cuda = getattr(cuda_packages, kind)()
    return opened


@pytest.fixture
def cuda(idle_cuda: Cuda) -> Iterator[Cuda]:
    """CUDA that this thread holds."""
    with idle_cuda.active():
        yield idle_cuda


@pytest.fixture
def only(kind: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let `open_cuda` find one package only."""
    other = next(name for name in KINDS if name != kind)

    def missing() -> Cuda:
        raise ImportError(f"{other} is out of this test")

    monkeypatch.setattr(cuda_packages, other, missing)
    return kind


@pytest.fixture
def program() -> Program:
    """Run Python in a process of its own."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        path = f"{SOURCES}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
