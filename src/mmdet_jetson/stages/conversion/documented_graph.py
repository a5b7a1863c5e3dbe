"""The documented graph: MMDeploy's ONNX file for a backend, and the files of its SDK.

The trace runs on the CPU for every backend. What MMDeploy writes is then corrected where it would
deploy another preprocessing than training used, and checked against what training used.
"""

import json
import traceback
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Iterator

import mmdeploy
import numpy as np
from mmdeploy.apis import torch2onnx
from mmdeploy.apis.utils import utils as mmdeploy_guards
from mmdeploy.backend.sdk.export_info import export2SDK
from mmengine import Config

from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.stages.checkpoints.checkpoint_file import only_tensors
from mmdet_jetson.stages.checkpoints.trained_model import TrainedModel
from mmdet_jetson.stages.conversion.plain_operators import plain_operators
from mmdet_jetson.stages.conversion.trained_preprocessing import (
    check_pipeline,
    mend_pipeline,
    trained_preprocessing,
)
from mmdet_jetson.stages.errors import StageError, reason_of
from mmdet_jetson.stages.inference.graph import ONNX


def write_sdk_files(model: TrainedModel, deploy_config: Config, size: Size, folder: Path) -> None:
    """Write deploy.json, pipeline.json and detail.json, and make pipeline.json tell the truth.

    Raises:
        StageError: MMDeploy cannot describe this model.
    """
    # MMDeploy changes the configs it is handed.
    config, own_deploy_config = deepcopy(model.config), deepcopy(deploy_config)
    try:
        with cpu_for_tensorrt():
            export2SDK(own_deploy_config, config, str(folder), "best.pth", "cpu")
    except Exception as error:  # it knows some models only, and looks up parts that others lack
        traceback.print_exc()
        raise StageError(
            f"MMDeploy cannot describe {model.description}: {reason_of(error)}",
            "MMDeploy 1.0.0 does not support every detector",
        ) from error
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


def trace(model: TrainedModel, deploy_config: Config, size: Size, folder: Path) -> None:
    """Let MMDeploy write ``end2end.onnx`` into ``folder``, but no operators of MMCV.

    Raises:
        StageError: MMDeploy cannot export this model for this backend.
    """
    try:
        with cpu_for_tensorrt(), plain_operators(), only_tensors():
            torch2onnx(
                _picture(size),
                str(folder),
                ONNX,
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
            f"MMDeploy {mmdeploy.__version__} cannot export {model.description} for "
            f"{deploy_config.backend_config.type}: {reason_of(error)}",
            "docs/conversion.md says which are known to work; the log has the traceback",
        ) from error


def _picture(size: Size) -> np.ndarray:
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
