"""Operators of MMCV and MMDetection written in those that ONNX has, for the time of a trace.

VFNet and TOOD sample their features with deformable convolutions. MMCV exports these as an operator
of its own, which no backend has without a plugin. VFNet also writes the places it samples into a
tensor, one channel at a time, which becomes thousands of nodes.
"""

import itertools
import sys
from contextlib import ExitStack, contextmanager
from typing import Iterator, List, Optional, Tuple, Union
from unittest import mock

import numpy as np
import torch
from mmcv.ops import deform_conv, modulated_deform_conv
from mmdet.models import utils
from mmdet.models.dense_heads import VFNetHead
from torch import Tensor, nn
from torch.nn import functional

Pair = Union[int, Tuple[int, int]]


@contextmanager
def plain_operators() -> Iterator[None]:
    """Let what is in this module stand for what it names, wherever that is used."""
    swaps = (
        (deform_conv.deform_conv2d, deform_conv2d),
        (modulated_deform_conv.modulated_deform_conv2d, modulated_deform_conv2d),
        (utils.sigmoid_geometric_mean, sigmoid_geometric_mean),
    )
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(VFNetHead, "star_dcn_offset", star_offsets))
        for (original, own), module in itertools.product(swaps, list(sys.modules.values())):
            # What stands in for a module, or for one that may not be imported, has no names.
            if getattr(module, "__dict__", {}).get(own.__name__) == original:
                stack.enter_context(mock.patch.object(module, own.__name__, own))
        yield


def deform_conv2d(  # noqa: PLR0917 - MMCV's own arguments
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    deform_groups: int = 1,
    *_unused: object,
) -> Tensor:
    """Do what ``mmcv.ops.deform_conv2d`` does: a convolution that reads beside its places.

    ``offset`` [batch, deform_groups * rows * columns * 2, y, x] says how far, y before x.
    """
    steps, split = (stride, padding, dilation), (groups, deform_groups)
    return _convolved(x, offset, None, weight, steps=steps, split=split)


def modulated_deform_conv2d(  # noqa: PLR0917 - MMCV's own arguments
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Optional[Tensor],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """Do what ``mmcv.ops.modulated_deform_conv2d`` does: what is read also has a factor."""
    steps, split = (stride, padding, dilation), (groups, deform_groups)
    values = _convolved(x, offset, mask, weight, steps=steps, split=split)
    return values if bias is None else values + bias.reshape(1, -1, 1, 1)


def star_offsets(head: nn.Module, distances: Tensor, _share: float, stride: int) -> Tensor:
    """Do what ``VFNetHead.star_dcn_offset`` does: sample at the sides and the corners of a box.

    ``distances`` [batch, 4, y, x] are those of its left, top, right and bottom side.
    """
    left, top, right, bottom = (distances / stride).split(1, 1)
    middle = torch.zeros_like(left)
    taps = itertools.product((-top, middle, bottom), (-left, middle, right))
    return torch.cat([side for tap in taps for side in tap], 1) - head.dcn_base_offset.type_as(left)


def sigmoid_geometric_mean(first: Tensor, second: Tensor) -> Tensor:
    """Do what MMDetection's does, whose gradient of its own keeps it from being exported."""
    return (first.sigmoid() * second.sigmoid()).sqrt()


def _convolved(
    x: Tensor,
    offset: Tensor,
    mask: Optional[Tensor],
    weight: Tensor,
    *,
    steps: Tuple[Pair, Pair, Pair],
    split: Tuple[int, int],
) -> Tensor:
    (batch, channels), (height, width) = map(int, x.shape[:2]), map(int, offset.shape[2:])
    groups, deform_groups = split
    taps, places = int(weight[0, 0].numel()), height * width
    rows, columns = _places(offset, weight, steps, deform_groups)
    sampled = _sampled(x, rows, columns, deform_groups)
    if mask is not None:
        sampled = sampled * mask.reshape(*rows.shape, 1)
    # From [batch, deform group, tap, place, channel] to [batch, group, place, all that is read].
    read = sampled.reshape(batch, deform_groups, taps, places, -1).permute(0, 3, 1, 4, 2)
    read = read.reshape(batch, places, groups, channels // groups * taps).permute(0, 2, 1, 3)
    kernels = weight.reshape(groups, -1, channels // groups * taps).permute(0, 2, 1)
    values = torch.matmul(read, kernels).permute(0, 1, 3, 2)
    return values.reshape(batch, -1, height, width)


def _places(
    offset: Tensor, weight: Tensor, steps: Tuple[Pair, Pair, Pair], deform_groups: int
) -> Tuple[Tensor, Tensor]:
    """Say which row and column each tap reads: [batch, deform groups, taps, height, width] both."""
    height, width = map(int, offset.shape[2:])
    apart = offset.reshape(int(offset.shape[0]), deform_groups, -1, 2, height, width)
    # What does not depend on the offsets is a constant of the graph: NumPy is not traced.
    kernel = [np.arange(int(count), dtype=np.float32) for count in weight.shape[2:]]
    starts = [np.arange(count, dtype=np.float32) for count in (height, width)]
    for axis in (0, 1):
        stride, padding, dilation = (s if isinstance(s, int) else s[axis] for s in steps)
        kernel[axis] = kernel[axis] * dilation - padding
        starts[axis] = starts[axis] * stride
    taps = np.stack(np.meshgrid(*kernel, indexing="ij")).reshape(2, -1, 1, 1)
    rows = torch.from_numpy(taps[0] + starts[0][:, None])
    columns = torch.from_numpy(taps[1] + starts[1])
    return apart[:, :, :, 0] + rows, apart[:, :, :, 1] + columns


def _sampled(x: Tensor, rows: Tensor, columns: Tensor, deform_groups: int) -> Tensor:
    """Interpolate between the four pixels around each place; around a map there are zeros."""
    batch, channels, height, width = map(int, x.shape)
    # One ring of zeros is enough: what is further away is brought there.
    ringed = functional.pad(x, (1, 1, 1, 1))
    pixels = ringed.reshape(batch * deform_groups, channels // deform_groups, -1)
    table = pixels.permute(0, 2, 1).reshape(-1, channels // deform_groups)
    starts = np.arange(batch * deform_groups) * ((height + 2) * (width + 2))
    first = torch.from_numpy(starts.reshape(batch, deform_groups, 1, 1, 1))
    rows, columns = rows.clamp(-1, height) + 1, columns.clamp(-1, width) + 1
    upper, left = rows.floor(), columns.floor()
    down, right = rows - upper, columns - left
    parts: List[Tensor] = []
    for below, beside in itertools.product((0, 1), repeat=2):
        row = (upper + below).clamp(max=height + 1).long()
        column = (left + beside).clamp(max=width + 1).long()
        index = first + row * (width + 2) + column
        share = (down if below else 1 - down) * (right if beside else 1 - right)
        values = table.index_select(0, index.reshape(-1)).reshape(*map(int, index.shape), -1)
        parts.append(values * share.unsqueeze(-1))
    return (parts[0] + parts[1]) + (parts[2] + parts[3])
