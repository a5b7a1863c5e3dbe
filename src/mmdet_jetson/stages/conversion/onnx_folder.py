"""The files of an `onnx` artifact: one of two graphs of a model, and what describes it.

`export` writes them of a trained model, `check` of an untrained one, to see whether it can be done.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Dict

import onnx
from mmdet.models.dense_heads import RPNHead
from mmengine import Config

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.stages.checkpoints.trained_model import TrainedModel
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
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.graph import DOCUMENTED, FUSED, GRAPH, ONNX


def write_onnx(
    model: TrainedModel, parameters: ExportParameters, deploy_configs: Path, folder: Path
) -> None:
    """Write the graph that is asked for, and what belongs to it, into ``folder``.

    ``deploy_configs`` is the folder that the parameters' ``deploy_config`` is a path in.

    Raises:
        StageError: there can be no such graph of this model.
    """
    size = parameters.input_size
    _check_classes(model)
    backend = BACKENDS[parameters.backend].deploy_config
    deploy_config = load_deploy_config(deploy_configs / parameters.deploy_config, backend, size)
    model.config.test_pipeline = test_pipeline(model.config, size)
    check_size(model.network, size)
    write = _write_fused if parameters.fused else _write_documented
    described = write(model, deploy_config, parameters, folder)
    _write_graph(described, parameters, model, folder)


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
    made = fused_graph(model.network, fused, preprocessing, limits)
    onnx.save(made.model, str(folder / ONNX))
    graph = read_fused_graph(folder / ONNX)
    return {
        **asdict(graph),
        "post_processing": {**asdict(graph.post_processing), "from": fused.thresholds},
        "input": fused.input,
        "batch": fused.batch,
        "preprocessing": asdict(preprocessing),
        "folded": asdict(made.folded) if made.folded else None,
    }


def _check_classes(model: TrainedModel) -> None:
    """Refuse a head that does not know the classes apart, as one that proposes regions."""
    head = getattr(model.network, "bbox_head", None)
    if isinstance(head, RPNHead):
        raise StageError(
            f"{type(model.network).__name__} proposes regions and does not tell what is in them",
            "choose the training config of a detector",
        )
    own, wanted = getattr(head, "num_classes", None), len(model.classes)
    if own not in (None, wanted):
        raise StageError(
            f"{model.description} gives scores for another number of classes than the dataset "
            f"has: {own}, not {wanted}",
            "choose the training config of a detector, and leave its num_classes alone",
        )


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
        "onnx": {"sha256": hashlib.sha256((folder / ONNX).read_bytes()).hexdigest()},
    }
    (folder / GRAPH).write_text(json.dumps(content, indent=1) + "\n")
