"""Stage `export`: a checkpoint to ONNX, as one of two graphs.

``fused`` takes pictures and needs no plugin; ``documented`` is MMDeploy's, with its SDK's files.
"""

from typing import Dict, List

import mmdeploy
import mmdet
import onnx
import torch
from mmengine import Config

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.stages.checkpoints.trained_model import load_trained_model
from mmdet_jetson.stages.conversion.onnx_folder import graph_kind, write_onnx
from mmdet_jetson.stages.inference.graph import ONNX
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.training.input_size import input_size

STEPS = 3


def run(job: StageJob[ExportParameters]) -> Result:
    """Export the ``checkpoint`` for one backend into ``onnx``."""
    parameters, folder = job.parameters, job.output
    job.progress(0, STEPS, "reading the checkpoint")
    model = load_trained_model(job.inputs["checkpoint"])
    job.progress(1, STEPS, f"writing the {graph_kind(parameters)} graph")
    write_onnx(model, parameters, job.inputs["config"], folder)
    job.progress(STEPS, STEPS, "exported")
    metrics = {"bytes": (folder / ONNX).stat().st_size}
    warnings = _warnings(model.config, parameters.input_size)
    return Result(metrics=metrics, facts=_versions(), warnings=tuple(warnings))


def _warnings(config: Config, size: Size) -> List[str]:
    """Say where the engine will see pictures differently than the training did."""
    steps = {step["type"]: step for step in config.test_dataloader.dataset.pipeline}
    trained = input_size(config)
    found = []
    if trained != size:
        found.append(
            f"trained at {trained[0]}x{trained[1]}, exported at {size[0]}x{size[1]}: "
            "accuracy may differ"
        )
    if steps["Resize"].get("keep_ratio", False) and size[0] != size[1]:
        found.append(
            f"MMDetection scales the longer side of a picture to {max(size)}, so a picture of the "
            f"other orientation does not fit an engine of {size[0]}x{size[1]}"
        )
    return found


def _versions() -> Dict[str, str]:
    modules = (mmdeploy, mmdet, onnx, torch)
    return {module.__name__: module.__version__ for module in modules}


if __name__ == "__main__":
    main(run, ExportParameters)
