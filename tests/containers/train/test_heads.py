"""Heads of untrained detectors, decoded for a graph and by MMDetection itself."""

from __future__ import annotations

from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine import Config
from mmengine.model import revert_sync_batchnorm
from untrained import SIZE

from mmdet_jetson.stages.conversion import heads
from mmdet_jetson.stages.conversion.decoded_network import DecodedNetwork
from mmdet_jetson.stages.conversion.network_size import check_size
from mmdet_jetson.stages.errors import StageError

KNOWN = {
    "retinanet/retinanet_r50_fpn_1x_coco.py": "base_dense",
    "rtmdet/rtmdet_tiny_8xb32-300e_coco.py": "base_dense",
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py": "base_dense",
    "atss/atss_r50_fpn_1x_coco.py": "base_dense",
    "ddod/ddod_r50_fpn_1x_coco.py": "base_dense",
    "vfnet/vfnet_r50_fpn_1x_coco.py": "base_dense",
    "autoassign/autoassign_r50-caffe_fpn_1x_coco.py": "base_dense",
    "yolof/yolof_r50-c5_8xb8-1x_coco.py": "base_dense",
    "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py": "base_dense",
    "gfl/gfl_r50_fpn_1x_coco.py": "distribution",
    "tood/tood_r50_fpn_1x_coco.py": "tood",
    "paa/paa_r50_fpn_1x_coco.py": "paa",
    "foveabox/fovea_r50_fpn_4xb4-1x_coco.py": "fovea",
    "yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py": "yolov3",
    "yolox/yolox_tiny_8xb8-300e_coco.py": "yolox",
}
# The coarsest of its maps must be as large as its deformable convolutions.
SIZES = {"ddod/ddod_r50_fpn_1x_coco.py": (384, 384)}
# It predicts with its NMS or not at all; `test_fused_heads` has it.
INSEPARABLE = "paa/paa_r50_fpn_1x_coco.py"


def untrained(base: str) -> torch.nn.Module:
    register_all_modules()
    config = Config.fromfile(str(Path(mmdet.__file__).parent / ".mim/configs" / base))
    config.model.backbone.pop("init_cfg", None)
    torch.manual_seed(0)
    return revert_sync_batchnorm(MODELS.build(config.model)).eval()


@pytest.mark.parametrize("base", KNOWN)
def test_a_head_is_known_by_one_module_that_decodes_as_mmdetection_does(base: str) -> None:
    model, size = untrained(base), SIZES.get(base, SIZE)
    assert [n for n in heads.HEADS if heads.load(n).matches(model.bbox_head)] == [KNOWN[base]]
    if base == INSEPARABLE:
        return
    network = DecodedNetwork(model, 1, size)
    batch = torch.randn(network.example.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        boxes, scores, *factors = network(batch)
        scores = scores * factors[0] if factors else scores
        found = model.bbox_head.predict_by_feat(
            *model.bbox_head(model.extract_feat(batch)),
            batch_img_metas=[{"img_shape": size[::-1]}],
            cfg=Config({"score_thr": 0.0, "nms_pre": 10**6}),
            with_nms=False,
        )[0]
    theirs = table(found.bboxes, found.scores, found.labels)
    _, label = torch.meshgrid(*map(torch.arange, scores.shape[1:]))
    every_box = boxes[0].repeat_interleave(scores.shape[2], 0)
    ours = table(every_box, scores[0].flatten(), label.flatten())
    ours = ours[ours[:, 1] > 0]
    assert ours.shape == theirs.shape
    assert ((ours - theirs).abs() / theirs.abs().clamp(min=1)).max() < 1e-4


def table(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Rows of a label, a score and a box, in their order."""
    return torch.cat([labels[:, None].float(), scores[:, None], boxes], 1).unique(dim=0)


def test_every_registered_head_is_tried_here() -> None:
    assert set(heads.HEADS) == set(KNOWN.values())


@pytest.mark.parametrize(
    ("base", "size", "sentence"),
    [
        ("rtmdet/rtmdet_tiny_8xb32-300e_coco.py", (100, 128), "100x128 is not a multiple of 32"),
        ("ssd/ssd300_coco.py", (128, 128), "SingleStageDetector cannot take an input of 128x128"),
        (
            "ddod/ddod_r50_fpn_1x_coco.py",
            (128, 128),
            "DDOD cannot take an input of 128x128: Runt",
        ),
    ],
)
def test_a_size_that_a_network_cannot_take_is_one_sentence(
    base: str, size: tuple[int, int], sentence: str
) -> None:
    with pytest.raises(StageError, match=sentence) as caught:
        check_size(untrained(base), size)
    assert caught.value.hint


def test_ssd_takes_its_300_pixels() -> None:
    check_size(untrained("ssd/ssd300_coco.py"), (300, 300))


@pytest.mark.parametrize(
    ("base", "head"),
    [
        (
            "centernet/centernet_r18_8xb16-crop512-140e_coco.py",
            "CenterNet with CenterNetHead cannot be fused",
        ),
        ("sabl/sabl-retinanet_r50_fpn_1x_coco.py", "RetinaNet with SABLRetinaHead cannot be fused"),
        ("rpn/rpn_r50_fpn_1x_coco.py", "RPN with RPNHead cannot be fused"),
        ("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", "FasterRCNN is a two-stage detector"),
    ],
)
def test_a_head_that_cannot_be_fused_is_one_sentence(base: str, head: str) -> None:
    with pytest.raises(StageError, match=f"^{head}") as caught:
        DecodedNetwork(untrained(base), 1, SIZE)
    two_stage = "two-stage" in head
    assert ("docs/detectors.md" if two_stage else 'graph = "documented"') in caught.value.hint
