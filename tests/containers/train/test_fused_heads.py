"""Fused graphs of every kind of head, run in ONNX Runtime against the detector in PyTorch.

Most of these have no Pad in their test pipeline: what the data_preprocessor pads is 0 after it has
normalised, and boxes are cut off where the picture ends.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from lively import (
    DEPLOY,
    assert_same_detections,
    detector,
    enlivened,
    three_classes,
    write_photos,
)
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from onnx_parsers import complaints_of_all
from torch import nn
from untrained import SIZE, base_config

from mmdet_jetson.contract.parameters.export import FusedParameters
from mmdet_jetson.stages import evaluate_checkpoint
from mmdet_jetson.stages.conversion import trained_preprocessing
from mmdet_jetson.stages.conversion.decoded_network import DecodedNetwork
from mmdet_jetson.stages.conversion.fused_graph import fused_graph, trace
from mmdet_jetson.stages.conversion.fused_preprocessing import INPUTS
from mmdet_jetson.stages.conversion.network_size import check_size
from mmdet_jetson.stages.conversion.post_processing import nms_limits
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.graph import IMAGE, TENSOR
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, read_picture
from mmdet_jetson.stages.training.input_size import set_input_size

FUSED = FusedParameters("image", 1, "model", candidates=512, rounds=30)
# So many pairs of a box and a class pass the threshold at most: no nms_pre leaves one of them out.
PASSING = 300
CASES = {
    "retinanet/retinanet_r50_fpn_1x_coco.py": FUSED,
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py": replace(FUSED, input="letterboxed", batch=2),
    "atss/atss_r50_fpn_1x_coco.py": replace(FUSED, input="tensor"),
    "ddod/ddod_r50_fpn_1x_coco.py": replace(FUSED, input="letterboxed"),
    "paa/paa_r50_fpn_1x_coco.py": FUSED,
    "gfl/gfl_r50_fpn_1x_coco.py": replace(FUSED, input="letterboxed"),
    "vfnet/vfnet_r50_fpn_1x_coco.py": replace(FUSED, input="tensor"),
    "tood/tood_r50_fpn_1x_coco.py": replace(FUSED, input="tensor", batch=2),
    "foveabox/fovea_r50_fpn_4xb4-1x_coco.py": replace(FUSED, input="letterboxed"),
    "ssd/ssd300_coco.py": replace(FUSED, input="tensor", candidates=1000),
    "yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py": FUSED,
}
# DDOD's deformable convolutions need 3 x 3 cells on its coarsest level.
SIZES = {"ssd/ssd300_coco.py": (300, 300), "ddod/ddod_r50_fpn_1x_coco.py": (384, 384)}
# Without batch norms every box of an untrained one has about the same score; there is no limit but
# that of the detections.
CROWDED = ("ssd/ssd300_coco.py",)
# Behind a smaller backbone it finds one class only.
DEEP = ("fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",)
# Layers whose untrained boxes would be too small to overlap.
WIDENED = {
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py": ("conv_reg", 3.0),
    "tood/tood_r50_fpn_1x_coco.py": ("tood_reg", 1.0),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"))


class Untrained(NamedTuple):
    """A detector with random weights, the config it was made by, and its preprocessing.

    ``traces`` has its network for each number of pictures that was asked for.
    """

    base: str
    model: nn.Module
    config: Config
    prepared: Preprocessing
    traces: dict[int, onnx.ModelProto]


@pytest.fixture(scope="module", params=CASES)
def untrained(
    request: pytest.FixtureRequest, photos: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Untrained:
    """Each of them, whose scores differ from picture to picture."""
    base = request.param
    size = SIZES.get(base, SIZE)
    folder = tmp_path_factory.mktemp("config")
    config = set_input_size(three_classes(base_config(base, None, folder)), size)
    if base not in DEEP:
        make_shallow(config.model)
    register_all_modules()
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(config.model))
    for name, weights in model.named_parameters():
        if name.endswith("l2_norm.weight"):
            weights.data.fill_(20)  # until its init_weights it is whatever lay in memory
    check_size(model.eval(), size)
    prepared = trained_preprocessing.trained_preprocessing(
        trained_preprocessing.test_pipeline(config, size), config.model.data_preprocessor, size
    )
    pictures = np.stack([prepared.resize(read_picture(path)) for path in photos])
    seen = torch.from_numpy(pictures.transpose(0, 3, 1, 2)).float()
    enlivened(model, seen, torch.Generator().manual_seed(1))
    layer, wider = WIDENED.get(base, ("", 0.0))
    if layer:
        getattr(model.bbox_head, layer).bias.data += wider
    return Untrained(base, model, config, prepared, {})


@pytest.fixture(autouse=True)
def _traced_once(untrained: Untrained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a network's trace, which takes PyTorch up to a minute: no input and no NMS is in it."""

    def kept(network: DecodedNetwork) -> onnx.ModelProto:
        batch = len(network.example)
        if batch not in untrained.traces:
            untrained.traces[batch] = trace(network)
        copy = onnx.ModelProto()
        copy.CopyFrom(untrained.traces[batch])
        return copy

    monkeypatch.setattr("mmdet_jetson.stages.conversion.fused_graph.trace", kept)


def test_it_detects_what_pytorch_detects(untrained: Untrained, photos: list[Path]) -> None:
    base, model, config, prepared, _ = untrained
    fused, size = CASES[base], SIZES.get(base, SIZE)
    if base not in CROWDED:
        inputs = [Feeding(prepared, TENSOR)(read_picture(path))[0] for path in photos]
        model.bbox_head.test_cfg.score_thr = threshold(DecodedNetwork(model, 1, size), inputs)
    limits = nms_limits(model, DEPLOY, fused)
    graph = fused_graph(model, fused, prepared, limits).model
    assert {node.domain for node in graph.graph.node} == {""}
    ours = detector(graph.SerializeToString(), prepared, fused, limits.keep, limits.candidates)
    theirs = evaluate_checkpoint.detector(model, config)
    assert assert_same_detections(ours, theirs, photos) > 0


def test_every_tensorrt_documents_its_operators_and_their_types(untrained: Untrained) -> None:
    base, model, _, prepared, _ = untrained
    for mode in INPUTS:
        fused = replace(CASES[base], input=mode, batch=1 if mode == IMAGE else 2)
        graph = fused_graph(model, fused, prepared, nms_limits(model, DEPLOY, fused)).model
        assert not complaints_of_all(graph, mode)


def make_shallow(model: ConfigDict) -> None:
    """Give a detector a smaller backbone of its kind: what is held against PyTorch is its head."""
    if model.backbone.type == "ResNet":
        model.backbone.depth = 18
        model.neck.in_channels = [64, 128, 256, 512]


def threshold(network: DecodedNetwork, inputs: list[np.ndarray]) -> float:
    """Find a score that no more than `PASSING` pairs of any picture are above."""
    with torch.no_grad():
        scores = [network(torch.from_numpy(values))[1].flatten() for values in inputs]
    return max(float(each.topk(PASSING).values[-2:].mean()) for each in scores)
