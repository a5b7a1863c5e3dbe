"""The documented stack computes: compiled operators, a forward pass, the same from its ONNX file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmcv.ops import batched_nms, nms
from mmdet.apis import init_detector
from mmengine.model import revert_sync_batchnorm
from onnx.reference import ReferenceEvaluator

ROOT = Path(__file__).parents[3]
# The second box lies in the first, the third apart from both.
BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 9], [20, 20, 30, 30]])
SCORES = torch.tensor([0.9, 0.8, 0.7])


def test_nms_keeps_the_best_of_two_that_overlap() -> None:
    _, kept = nms(BOXES, SCORES, iou_threshold=0.65)
    assert kept.tolist() == [0, 2]


def test_batched_nms_keeps_boxes_of_two_classes_apart() -> None:
    _, kept = batched_nms(
        BOXES, SCORES, torch.tensor([0, 1, 0]), {"type": "nms", "iou_threshold": 0.65}
    )
    assert sorted(kept.tolist()) == [0, 1, 2]


def test_a_detector_scores_every_cell_of_its_three_grids() -> None:
    model = revert_sync_batchnorm(
        init_detector(str(ROOT / "configs/train/rtmdet_tiny_demo.py"), device="cpu")
    )
    with torch.no_grad():
        scores, boxes = model(torch.rand(1, 3, 96, 128), mode="tensor")
    strides = (8, 16, 32)
    assert [tuple(each.shape[2:]) for each in scores] == [(96 // s, 128 // s) for s in strides]
    assert [each.shape[1] for each in boxes] == [4, 4, 4]
    assert all(torch.isfinite(each).all() for each in (*scores, *boxes))


def test_an_exported_network_computes_what_pytorch_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.SiLU(), torch.nn.MaxPool2d(2)
    )
    picture = torch.rand(1, 3, 16, 16)
    torch.onnx.export(net, picture, str(tmp_path / "net.onnx"), opset_version=11)
    evaluator = ReferenceEvaluator(str(tmp_path / "net.onnx"))
    (found,) = evaluator.run(None, {evaluator.input_names[0]: picture.numpy()})
    with torch.no_grad():
        assert found == pytest.approx(net(picture).numpy(), abs=1e-5)
