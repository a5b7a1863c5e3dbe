"""Deformable convolutions in plain operators, against MMCV's own."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmcv.ops.deform_conv import deform_conv2d
from mmdet.models.dense_heads import VFNetHead, tood_head
from onnx import helper

from mmdet_jetson.stages.conversion import plain_operators
from mmdet_jetson.stages.conversion.fused_graph import check_standard
from mmdet_jetson.stages.conversion.plain_operators import plain_operators as in_plain_operators
from mmdet_jetson.stages.errors import StageError

SHAPES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2, "deform_groups": 2},
    {"kernel_size": 1, "groups": 4, "deform_groups": 4},
    {"kernel_size": (1, 3), "padding": (0, 1), "groups": 2, "deform_groups": 2},
]


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_sampled_is_what_mmcv_samples(shape: dict[str, int], modulated: bool) -> None:
    torch.manual_seed(0)
    layer = (ModulatedDeformConv2d if modulated else DeformConv2d)(4, 8, **shape)
    maps = torch.randn(2, 4, 9, 7)
    height, width = torch.nn.functional.conv2d(
        maps, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
    ).shape[2:]
    taps = layer.weight[0, 0].numel() * layer.deform_groups
    # Far enough for many places to lie outside of the map.
    offset = 4 * torch.randn(2, 2 * taps, height, width)
    more = [torch.rand(2, taps, height, width)] if modulated else []
    with torch.no_grad():
        expected = layer(maps, offset, *more)
        with in_plain_operators():
            found = layer(maps, offset, *more)
    assert found.shape == expected.shape
    assert not torch.equal(found, expected)  # it is another way to compute it
    assert torch.allclose(found, expected, atol=1e-5)


def test_vfnet_samples_at_the_same_places() -> None:
    head = VFNetHead(1, 8, feat_channels=8, stacked_convs=1).eval()
    distances = 50 * torch.rand(2, 4, 5, 6)
    expected = head.star_dcn_offset(distances, 0.1, 16)
    with in_plain_operators():
        assert torch.allclose(head.star_dcn_offset(distances, 0.1, 16), expected, atol=1e-5)


def test_an_operator_of_mmcvs_own_is_one_sentence() -> None:
    node = helper.make_node("MMCVCARAFE", ["x"], ["y"], domain="mmcv")
    model = helper.make_model(helper.make_graph([node], "network", [], []))
    with pytest.raises(StageError, match="not part of ONNX: MMCVCARAFE") as caught:
        check_standard(model)
    assert caught.value.hint


def test_mmcv_has_its_own_back() -> None:
    with in_plain_operators():
        assert tood_head.deform_conv2d is plain_operators.deform_conv2d
    assert tood_head.deform_conv2d == deform_conv2d
