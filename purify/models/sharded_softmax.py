"""Cross-entropy over classes that are sharded over ranks (the model-parallel softmax of ArcFace, section 3.3).

Every rank has the embeddings of the whole batch and the logits of its own classes. The ranks exchange three numbers per
image: the largest logit, the sum of the exponentials, and the logit of the true class. The gradient of the logits then
needs no communication; that of the embeddings is a sum over the ranks.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from purify.models.process_group import SINGLE_PROCESS, Ranks


def gather_rows(rows: Tensor, total: int, ranks: Ranks) -> Tensor:
    """The ranks' shards of `total` rows -> all rows; gradients are summed over the ranks."""
    return rows if ranks.size == 1 else _GatherRows.apply(rows, total, ranks)


def cross_entropy(logits: Tensor, targets: Tensor, ranks: Ranks = SINGLE_PROCESS) -> Tensor:
    """Mean cross-entropy of a batch, the same number on every rank.

    ``logits[N, S]`` are those of this rank's S classes, possibly none; ``-inf`` excludes a class. ``targets`` int64[N]
    point into these classes; -1 where the true class is another rank's.
    """
    loss: Tensor = _CrossEntropy.apply(logits, targets, ranks)
    return loss


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, total: int, ranks: Ranks) -> Tensor:
        ctx.shard, ctx.ranks = ranks.shard(total), ranks
        return ranks.gather_rows(rows, total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.ranks.all_reduce(gradient.contiguous().clone())[ctx.shard.slice], None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, ranks: Ranks) -> Tensor:
        most = logits.amax(dim=1) if logits.shape[1] else logits.new_full((len(logits),), -math.inf)
        most = ranks.all_reduce_max(most)
        shares = (logits - most[:, None]).exp_()
        # Without counting the rows whose class is here, which would stop a GPU's queue.
        own = torch.zeros_like(most)
        if logits.shape[1]:
            place = targets.clamp_min(0)[:, None]
            own = torch.where(targets >= 0, logits.gather(1, place).squeeze(1) - most, own)
        total, target = ranks.all_reduce(torch.stack([shares.sum(dim=1), own]))
        shares /= total[:, None]
        ctx.save_for_backward(shares, targets)
        return (total.log() - target).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        shares, targets = ctx.saved_tensors
        each = gradient / len(targets)
        to_logits = shares * each
        if shares.shape[1]:
            here = torch.where(targets >= 0, each, 0.0)
            to_logits.scatter_add_(1, targets.clamp_min(0)[:, None], -here[:, None])
        return to_logits, None, None
