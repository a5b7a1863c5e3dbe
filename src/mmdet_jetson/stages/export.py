"""Checkpoint to ONNX, the documented way: MMDeploy's SDK files and its graph for a backend.

The trace runs on the CPU for every backend. What MMDeploy writes is then corrected where it would
deploy another preprocessing than training used, and checked against what training used.
"""

import json
import traceback
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import mmdeploy
import mmdet
import numpy as np
import onnx
import torch
from mmdeploy.apis import torch2onnx
from mmdeploy.apis.utils import utils as mmdeploy_guards
from mmdeploy.backend.sdk.export_info import export2SDK
from mmengine import Config

from mmdet_jetson.stages.conversion.deploy_config import load_deploy_config
from mmdet_jetson.stages.conversion.foreign_errors import reason_of
from mmdet_jetson.stages.conversion.onnx_graph import Graph, read_graph
from mmdet_jetson.stages.conversion.trained_model import TrainedModel, load_trained_model
from mmdet_jetson.stages.conversion.trained_preprocessing import (
    check_pipeline,
    mend_pipeline,
    test_pipeline,
    trained_preprocessing,
)
from mmdet_jetson.stages.job import Job, Result, StageError, main

# The coarsest feature map of RTMDet and YOLOX has one cell for 32 x 32 pixels.
STRIDE = 32
STEPS = 4


def run(job: Job) -> Result:
    """Export the ``checkpoint`` for one backend into ``onnx``."""
    backend, folder = job.parameters["backend"], job.outputs["onnx"]
    size = _input_size(job.parameters["input_size"])
    job.progress(0, STEPS, "reading the checkpoint")
    deploy_config = load_deploy_config(
        job.inputs["config"] / job.parameters["deploy_config"], backend, size
    )
    model = load_trained_model(job.inputs["checkpoint"])
    warnings = _warnings(model.config, size)
    model.config.test_pipeline = test_pipeline(model.config, size)
    job.progress(1, STEPS, "describing the model")
    _write_sdk_files(model, deploy_config, size, folder)
    job.progress(2, STEPS, "tracing the network")
    _trace(model, deploy_config, size, folder)
    job.progress(3, STEPS, "reading the graph back")
    graph = read_graph(folder / "end2end.onnx", backend, len(model.classes))
    _write_graph(graph, backend, model.classes, size, folder)
    deploy_config.dump(str(folder / "deploy_config.py"))
    job.progress(STEPS, STEPS, "exported")
    bytes_written = (folder / "end2end.onnx").stat().st_size
    return Result(metrics={"bytes": bytes_written}, facts=_versions(), warnings=warnings)


def _input_size(value: List[int]) -> Tuple[int, int]:
    width, height = value
    if min(value) < STRIDE or width % STRIDE or height % STRIDE:
        raise StageError(
            f"the input size {width}x{height} is not a multiple of {STRIDE} in both directions",
            f"try {_rounded(width)}x{_rounded(height)}: set input_size",
        )
    return width, height


def _rounded(side: int) -> int:
    return max(STRIDE, round(side / STRIDE) * STRIDE)


def _warnings(config: Config, size: Tuple[int, int]) -> List[str]:
    """Say where the engine will see pictures otherwise than training did."""
    steps = {step["type"]: step for step in config.test_dataloader.dataset.pipeline}
    resize = steps.get("Resize", {})
    trained = tuple(resize.get("scale") or size)
    found = []
    if trained != size:
        found.append(
            f"trained at {trained[0]}x{trained[1]}, exported at {size[0]}x{size[1]}: "
            "accuracy may differ"
        )
    if resize.get("keep_ratio", False) and size[0] != size[1]:
        found.append(
            f"MMDetection fits the longer side of a picture to {max(size)}, so with "
            f"{size[0]}x{size[1]} pictures of the other orientation do not fit the engine"
        )
    return found


def _write_sdk_files(
    model: TrainedModel, deploy_config: Config, size: Tuple[int, int], folder: Path
) -> None:
    """Write deploy.json, pipeline.json and detail.json, and make pipeline.json tell the truth."""
    # MMDeploy changes the configs it is handed.
    config, own_deploy_config = deepcopy(model.config), deepcopy(deploy_config)
    with cpu_for_tensorrt():
        export2SDK(own_deploy_config, config, str(folder), "best.pth", "cpu")
    _make_relative(folder / "detail.json")
    trained = trained_preprocessing(
        model.config.test_pipeline, model.config.model.data_preprocessor, size
    )
    mend_pipeline(folder / "pipeline.json", trained)
    check_pipeline(folder / "pipeline.json", trained)


def _make_relative(detail: Path) -> None:
    """Name the model's config by its file in the checkpoint: the job's folder will be gone."""
    content = json.loads(detail.read_text())
    content["codebase"]["config"] = "config.py"
    detail.write_text(json.dumps(content, indent=4) + "\n")


def _trace(model: TrainedModel, deploy_config: Config, size: Tuple[int, int], folder: Path) -> None:
    try:
        with cpu_for_tensorrt():
            torch2onnx(
                _picture(size),
                str(folder),
                "end2end.onnx",
                deepcopy(deploy_config),
                deepcopy(model.config),
                str(model.weights),
                "cpu",
            )
    except OSError:
        raise
    except Exception as error:  # what MMDeploy does not rewrite can fail in any way
        traceback.print_exc()
        raise StageError(
            f"MMDeploy {mmdeploy.__version__} cannot export a {model.description} for "
            f"{deploy_config.backend_config.type}: {reason_of(error)}",
            "RTMDet and YOLOX are known to work; the log has the traceback",
        ) from error


def _picture(size: Tuple[int, int]) -> np.ndarray:
    """Draw a picture to trace with, BGR uint8 [height, width, 3]; its content leaves no trace."""
    width, height = size
    return np.full((height, width, 3), 114, np.uint8)


@contextmanager
def cpu_for_tensorrt() -> Iterator[None]:
    """Let MMDeploy prepare a TensorRT graph on a machine without a GPU.

    Its guard ``check_backend_device`` refuses ``tensorrt`` on a CPU, because it is also in the way
    to *running* an engine, which needs the GPU. Within this block no engine exists: a trace runs
    PyTorch operators only, and the one operator of TensorRT, ``TRTBatchedNMS``, stands in the
    graph by name (in PyTorch it returns random boxes of the right shape). The device decides only
    where the weights lie during the trace.
    """
    guard = mmdeploy_guards.check_backend_device
    mmdeploy_guards.check_backend_device = lambda deploy_cfg, device: None
    try:
        yield
    finally:
        mmdeploy_guards.check_backend_device = guard


def _write_graph(
    graph: Graph, backend: str, classes: Tuple[str, ...], size: Tuple[int, int], folder: Path
) -> None:
    content = {
        "graph": "documented",
        "backend": backend,
        **asdict(graph),
        "classes": list(classes),
        "input_size": list(size),
    }
    (folder / "graph.json").write_text(json.dumps(content, indent=1) + "\n")


def _versions() -> Any:
    modules = (mmdeploy, mmdet, onnx, torch)
    return {module.__name__: module.__version__ for module in modules}


if __name__ == "__main__":
    main(run)
