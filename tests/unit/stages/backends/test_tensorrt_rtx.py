"""The builder for TensorRT for RTX against a stand-in of its API."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fused import fused_folder, split_folder
from tensorrt_apis import record_of, tensorrt_rtx_api

from mmdet_jetson.stages.backends import Backend
from mmdet_jetson.stages.building.request import BuildRequest
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import read_graph

MODULE = "mmdet_jetson.stages.backends.tensorrt_rtx"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", tensorrt_rtx_api())
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield cast("Backend", importlib.import_module(MODULE))
    sys.modules.pop(MODULE, None)


def asked(tmp_path: Path, precision: str, capabilities: tuple[int, ...] = (86, 89)) -> BuildRequest:
    source = fused_folder(tmp_path / "onnx")
    training = split_folder(tmp_path / "training", "train", [1, 2])
    (tmp_path / "engine").mkdir()
    return BuildRequest(
        onnx=source / "end2end.onnx",
        folder=tmp_path / "engine",
        precision=precision,
        graph=read_graph(source),
        calibration=sorted((training / "train").iterdir()),
        compute_capabilities=capabilities,
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_is_computed_in_fp32_is_never_computed_in_tf32(
    backend: Backend, tmp_path: Path, precision: str
) -> None:
    built = backend.build(asked(tmp_path, precision))

    assert record_of(built.file.read_bytes())["flags"] == []
    assert built.settings["tf32"] is False


def test_an_engine_runs_on_the_listed_gpus_only(backend: Backend, tmp_path: Path) -> None:
    built = backend.build(asked(tmp_path, "fp32"))

    assert built.runs_on == {"sm": [86, 89], **backend.versions()}


def test_a_gpu_without_code_is_one_sentence(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no code for compute capability 87") as caught:
        backend.build(asked(tmp_path, "fp32", (87,)))

    assert "86, 89" in caught.value.hint


@pytest.mark.parametrize(("gpu", "runs"), [(None, False), (86, True), (90, False)])
def test_it_is_compared_on_one_of_its_gpus_only(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: int | None, runs: bool
) -> None:
    """On any other one, such as an H200, it cannot even be loaded."""
    request = asked(tmp_path, "fp32")
    monkeypatch.setattr(f"{MODULE}.gpu_architecture", lambda: gpu)
    assert backend.can_run(request) is runs
