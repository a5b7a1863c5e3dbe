"""Batch norm over two processes on a CPU, beside PyTorch's over one that has all pictures."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn

from mmdet_jetson.stages.training.sync_batch_norm import SyncBatchNorm, synchronise

CHANNELS = 3
SIZES = (3, 1)  # of two processes: no two parts need be alike
SHAPES = ((4, CHANNELS), (4, CHANNELS, 5), (4, CHANNELS, 6, 7))


def layer(kind: type[nn.Module], affine: bool) -> nn.Module:
    torch.manual_seed(1)
    made = kind(CHANNELS, affine=affine)
    if affine:
        with torch.no_grad():
            made.weight.uniform_(0.5, 2.0)
            made.bias.uniform_(-1.0, 1.0)
    return made


def pictures(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    # Far from zero: a variance from a sum of squares would be wrong here.
    return torch.randn(shape) + 30.0, torch.randn(shape)


def trained(norm: nn.Module, inputs: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Two steps, of which the second one is looked at."""
    norm(inputs * 0.5)
    norm.zero_grad()
    inputs = inputs.clone().requires_grad_()
    result = norm(inputs)
    (result * weights).sum().backward()
    assert inputs.grad is not None
    found = {"result": result.detach(), "of_inputs": inputs.grad, **dict(norm.named_buffers())}
    return {**found, **{f"of_{name}": each.grad for name, each in norm.named_parameters()}}


def rank(number: int, folder: str, affine: bool) -> None:
    store = distributed.FileStore(f"{folder}/store", len(SIZES))
    distributed.init_process_group(
        "gloo", store=store, rank=number, world_size=len(SIZES), timeout=timedelta(seconds=60)
    )
    found = []
    for shape in SHAPES:
        model = nn.Sequential(layer(nn.SyncBatchNorm, affine))
        synchronise(model)
        assert type(model[0]) is SyncBatchNorm
        inputs, weights = (each.split(SIZES)[number] for each in pictures(shape))
        found.append(trained(model[0], inputs, weights))
        model.eval()
        found[-1]["judged"] = model(inputs)
    torch.save(found, f"{folder}/{number}.pth")


@pytest.mark.parametrize("affine", [True, False])
def test_it_is_that_of_one_process_with_all_pictures(affine: bool, tmp_path: Path) -> None:
    multiprocessing.spawn(rank, (str(tmp_path), affine), nprocs=len(SIZES))
    parts = [torch.serialization.load(str(tmp_path / f"{n}.pth")) for n in range(len(SIZES))]
    for at, shape in enumerate(SHAPES):
        kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
        norm = layer(kind, affine)
        inputs, weights = pictures(shape)
        expected = trained(norm, inputs, weights)
        norm.eval()
        expected["judged"] = norm(inputs)
        assert set(expected) == set(parts[0][at])
        for name, value in expected.items():
            ours = [part[at][name] for part in parts]
            if name in ("of_weight", "of_bias"):
                # As with PyTorch's own: data parallelism brings them together.
                found = [ours[0] + ours[1]]
            elif name in ("result", "of_inputs", "judged"):
                found = [torch.cat(ours)]
            else:
                found = ours
            for each in found:
                torch.testing.assert_close(each, value, rtol=2e-4, atol=2e-4)
