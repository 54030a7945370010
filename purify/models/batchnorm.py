"""Batch normalization with statistics of the whole batch over all ranks, on any device.

`torch.nn.SyncBatchNorm` supports only GPUs. Without it each rank would normalize by its own shard of the batch, unlike
a single process, and the more so the smaller the shards.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from purify.models.process_group import Ranks


class CrossRankBatchNorm(_BatchNorm):
    """`torch.nn.BatchNorm1d` and ``2d`` over the images of all ranks; the same parameters and buffers."""

    ranks: Ranks

    @classmethod
    def of(cls, norm: _BatchNorm, ranks: Ranks) -> CrossRankBatchNorm:
        """Replacement of `norm` that takes over its parameters and buffers."""
        joint = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        joint._parameters, joint._buffers = norm._parameters, norm._buffers
        joint.training, joint.ranks = norm.training, ranks
        return joint

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected [N, C, ...], got {input.dim()} dimensions")

    def forward(self, input: Tensor) -> Tensor:
        """``input[N, C, ...]`` of this rank -> the same shape."""
        if not self.training:
            return super().forward(input)
        output, mean, variance, count = _Normalize.apply(input, self.weight, self.bias, self.eps, self.ranks)
        self._remember(mean, variance * (count / (count - 1)))
        return output

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, for evaluation."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        momentum = 0.1 if self.momentum is None else self.momentum
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), momentum)
            self.running_var.lerp_(variance.to(self.running_var), momentum)


def compile_around_batchnorm(module: nn.Module) -> None:
    """Compile `module`, except for batch normalizations over all ranks, whose collectives don't compile."""
    for child in module.modules():
        if isinstance(child, CrossRankBatchNorm):
            # Not by a decorator: its import of torch._dynamo takes 1.5 s in every process.
            setattr(child, "forward", torch.compiler.disable(child.forward))  # noqa: B010
    module.compile()


def synchronize_batchnorm(module: nn.Module, ranks: Ranks) -> None:
    """Make all batch normalizations inside `module` use the batch of all ranks."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, CrossRankBatchNorm.of(child, ranks))
        else:
            synchronize_batchnorm(child, ranks)


def _sums(x: Tensor) -> Tensor:
    """``x[N, C, ...]`` -> sums [C] in float32, or double for double."""
    return x.sum(dim=[0, *range(2, x.dim())], dtype=_accurate(x))


def _accurate(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


class _Normalize(torch.autograd.Function):
    """Returns the output, and mean, biased variance and count of all ranks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dtype = _accurate(x)
        variance, mean = torch.var_mean(x.to(dtype), dim=[0, *range(2, x.dim())], correction=0)
        own = torch.full_like(mean, x.numel() / x.shape[1])
        counts, means, variances = ranks.all_gather(torch.stack([own, mean, variance])).unbind(1)
        count = counts.sum(dim=0)
        mean = (counts * means).sum(dim=0) / count
        variance = (counts * (variances + (means - mean).square())).sum(dim=0) / count
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), count)
        ctx.ranks = ranks
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        """With z = (x - mean) / std: dx = w / std * (g - mean of g - z * mean of g z), means over all ranks.

        The gradients of weight and bias are this rank's, like those of all other parameters.
        """
        x, weight, mean, inverse, count = ctx.saved_tensors
        shape = (1, -1) + (1,) * (x.dim() - 2)
        to_bias = _sums(gradient)
        to_weight = _sums(gradient * (x - mean.view(shape))) * inverse
        shift, slope = ctx.ranks.all_reduce(torch.stack([to_bias, to_weight])) / count
        factor = weight * inverse
        by_x, constant = -factor * inverse * slope, factor * (inverse * mean * slope - shift)
        to_x = gradient * factor.view(shape) + x * by_x.view(shape) + constant.view(shape)
        return to_x.to(x.dtype), to_weight, to_bias, None, None
