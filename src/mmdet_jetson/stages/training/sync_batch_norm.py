"""Batch norm over the pictures of all processes, on CPUs, where PyTorch's own needs GPUs."""

from typing import Any, ClassVar, Optional, Tuple

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(_BatchNorm):  # type: ignore[misc]  # torch has no types here
    """`torch.nn.SyncBatchNorm` for tensors on a CPU: the same parameters, buffers and result.

    It is not derived from it, for data parallelism refuses those on a CPU.
    """

    # Its own, for data parallelism sends gradients while a backward pass still computes: in which
    # order the two ask the network would else have to be the same in every process. A group cannot
    # be copied, as an average of a model is, so it is no attribute of a layer.
    group: ClassVar[Optional[Any]] = None

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, in training by mean and variance over all processes."""
        if not self.training and self.running_mean is not None:
            mean, variance = self.running_mean, self.running_var
            return functional.batch_norm(
                input, mean, variance, self.weight, self.bias, False, 0.0, self.eps
            )
        result, mean, variance, count = _Normalised.apply(input, self.weight, self.bias, self.eps)
        if self.training and self.running_mean is not None:
            self._remember(mean, variance, count)
        return result

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(unbiased, share)


def synchronise(model: nn.Module) -> None:
    """Put it in the place of every `torch.nn.SyncBatchNorm` of a model; every process has to."""
    layers = [each for each in model.modules() if type(each) is nn.SyncBatchNorm]
    for layer in layers:
        layer.__class__ = SyncBatchNorm
    if layers and SyncBatchNorm.group is None:
        SyncBatchNorm.group = distributed.new_group()


class _Normalised(Function):  # type: ignore[misc]
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over all processes, and its gradient.

    The gradient is that of the sum of all processes' losses, as with PyTorch's own: PyTorch's
    data parallelism divides by their number.
    """

    @staticmethod
    def forward(
        context: Any, inputs: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], eps: float
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        channels = inputs.shape[1]
        others = [axis for axis in range(inputs.dim()) if axis != 1]
        # One sum over all processes, and a second one: a variance from a sum of squares alone is
        # a difference of large numbers.
        told = torch.cat([inputs.sum(others), inputs.new_tensor([inputs.numel() / channels])])
        _sum_up(told)
        count = told[-1]
        mean = told[:-1] / count
        variance = (inputs - _along(mean, inputs)).pow(2).sum(others)
        _sum_up(variance)
        variance = variance / count
        result = functional.batch_norm(inputs, mean, variance, weight, bias, False, 0.0, eps)
        context.save_for_backward(inputs, weight, mean, torch.rsqrt(variance + eps), count)
        context.mark_non_differentiable(mean, variance, count)
        return result, mean, variance, count

    @staticmethod
    def backward(
        context: Any, gradient: Tensor, *_: Optional[Tensor]
    ) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor], None]:
        inputs, weight, mean, scale, count = context.saved_tensors
        others = [axis for axis in range(inputs.dim()) if axis != 1]
        normal = (inputs - _along(mean, inputs)) * _along(scale, inputs)
        of_bias, of_weight = gradient.sum(others), (gradient * normal).sum(others)
        means = torch.stack([of_bias, of_weight])
        _sum_up(means)
        means = means / count
        factor = scale if weight is None else scale * weight
        of_inputs = gradient - _along(means[0], inputs)
        of_inputs.sub_(normal.mul_(_along(means[1], inputs)))
        of_inputs.mul_(_along(factor, inputs))
        needs = context.needs_input_grad
        return (
            of_inputs if needs[0] else None,
            of_weight if needs[1] else None,
            of_bias if needs[2] else None,
            None,
        )


def _along(values: Tensor, like: Tensor) -> Tensor:
    """Let one value for each channel stand along the channels of a batch."""
    return values.reshape(1, -1, *[1] * (like.dim() - 2))


def _sum_up(values: Tensor) -> None:
    distributed.all_reduce(values, group=SyncBatchNorm.group)
