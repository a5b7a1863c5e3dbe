"""Stage `export`: a checkpoint to ONNX, as one of two graphs.

``fused`` takes pictures and needs no plugin; ``documented`` is MMDeploy's, with its SDK's files.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List

import mmdeploy
import mmdet
import onnx
import torch
from mmengine import Config

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.base import Size
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.stages.checkpoints.trained_model import TrainedModel, load_trained_model
from mmdet_jetson.stages.conversion import documented_graph
from mmdet_jetson.stages.conversion.deploy_config import load_deploy_config
from mmdet_jetson.stages.conversion.fused_graph import fused_graph
from mmdet_jetson.stages.conversion.network_size import check_size
from mmdet_jetson.stages.conversion.onnx_graph import read_documented_graph, read_fused_graph
from mmdet_jetson.stages.conversion.post_processing import nms_limits
from mmdet_jetson.stages.conversion.trained_preprocessing import (
    test_pipeline,
    trained_preprocessing,
)
from mmdet_jetson.stages.inference.graph import DOCUMENTED, FUSED, GRAPH, ONNX
from mmdet_jetson.stages.job import StageJob, main
from mmdet_jetson.stages.training.mmdet_config import input_size

STEPS = 3


def run(job: StageJob[ExportParameters]) -> Result:
    """Export the ``checkpoint`` for one backend into ``onnx``."""
    parameters, folder = job.parameters, job.output
    size = parameters.input_size
    job.progress(0, STEPS, "reading the checkpoint")
    backend = BACKENDS[parameters.backend].deploy_config
    deploy_config = load_deploy_config(
        job.inputs["config"] / parameters.deploy_config, backend, size
    )
    model = load_trained_model(job.inputs["checkpoint"])
    check_size(model.network, size)
    model.config.test_pipeline = test_pipeline(model.config, size)
    warnings = _warnings(model.config, size)
    job.progress(1, STEPS, f"writing the {graph_kind(parameters)} graph")
    write = _write_fused if parameters.fused else _write_documented
    described = write(model, deploy_config, parameters, folder)
    _write_graph(described, parameters, model, folder)
    job.progress(STEPS, STEPS, "exported")
    metrics = {"bytes": (folder / ONNX).stat().st_size}
    return Result(metrics=metrics, facts=_versions(), warnings=tuple(warnings))


def graph_kind(parameters: ExportParameters) -> str:
    """Name the graph that is asked for: "fused" or "documented"."""
    return FUSED if parameters.fused else DOCUMENTED


def _write_documented(
    model: TrainedModel, deploy_config: Config, parameters: ExportParameters, folder: Path
) -> Dict[str, object]:
    backend, size = BACKENDS[parameters.backend].deploy_config, parameters.input_size
    documented_graph.write_sdk_files(model, deploy_config, size, folder)
    documented_graph.trace(model, deploy_config, size, folder)
    deploy_config.dump(str(folder / "deploy_config.py"))
    return asdict(read_documented_graph(folder / ONNX, backend, len(model.classes)))


def _write_fused(
    model: TrainedModel, deploy_config: Config, parameters: ExportParameters, folder: Path
) -> Dict[str, object]:
    fused = parameters.fused
    assert fused is not None  # the caller chose this graph for it
    preprocessing = trained_preprocessing(
        model.config.test_pipeline,
        model.config.model.data_preprocessor,
        parameters.input_size,
    )
    limits = nms_limits(model.network, deploy_config.codebase_config.post_processing, fused)
    onnx.save(fused_graph(model.network, fused, preprocessing, limits), str(folder / ONNX))
    graph = read_fused_graph(folder / ONNX)
    return {
        **asdict(graph),
        "post_processing": {**asdict(graph.post_processing), "from": fused.thresholds},
        "input": fused.input,
        "batch": fused.batch,
        "preprocessing": asdict(preprocessing),
    }


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


def _write_graph(
    described: Dict[str, object],
    parameters: ExportParameters,
    model: TrainedModel,
    folder: Path,
) -> None:
    content = {
        "graph": graph_kind(parameters),
        "backend": parameters.backend,
        **described,
        "classes": list(model.classes),
        "input_size": list(parameters.input_size),
        "checkpoint": {"sha256": hashlib.sha256(model.weights.read_bytes()).hexdigest()},
    }
    (folder / GRAPH).write_text(json.dumps(content, indent=1) + "\n")


def _versions() -> Dict[str, str]:
    modules = (mmdeploy, mmdet, onnx, torch)
    return {module.__name__: module.__version__ for module in modules}


if __name__ == "__main__":
    main(run, ExportParameters)
