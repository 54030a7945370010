"""Several processes as one training: the process group, and the data-parallel backbone.

The backbone is replicated (DDP), the head's classes are sharded, and both see the whole batch: embeddings are gathered
on every rank, the softmax runs over all shards (`purify.models.sharded_softmax`), and batch normalization has the
statistics of the whole batch (`purify.models.batchnorm`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from purify.errors import RankLostError
from purify.models.batchnorm import synchronize_batchnorm
from purify.models.precision import default_device
from purify.models.process_group import SINGLE_PROCESS, Ranks
from purify.training.rendezvous import RENDEZVOUS, is_rank

_LOST = ("gloo", "nccl", "connection", "broken pipe", "store")


def rank_device() -> torch.device:
    """Device of this process; ranks on a machine with GPUs have one each."""
    device = default_device()
    if device.type == "cuda" and is_rank():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", os.environ["RANK"])) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that the environment names, if any; RankLostError if another rank ends before this one."""
    if not is_rank():
        yield SINGLE_PROCESS
        return
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=os.environ.get(RENDEZVOUS, "env://"),
            rank=ranks.rank,
            world_size=ranks.size,
        )
        yield ranks
        dist.barrier()  # no rank leaves while another still talks to it
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or any(word in str(error).lower() for word in _LOST):
            raise RankLostError(f"rank {ranks.rank}: another rank ended, or can't be reached ({error})") from error
        raise
    dist.destroy_process_group()


def data_parallel(backbone: nn.Module, ranks: Ranks, *, sync_batchnorm: bool) -> nn.Module:
    """Wrap `backbone` as a replica whose gradients are summed over the ranks after each backward pass.

    Summed, not averaged as DDP does by default: the loss is already a mean over the whole batch.
    """
    if ranks.size == 1:
        return backbone
    if sync_batchnorm:
        synchronize_batchnorm(backbone, ranks)
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return backbone
    network = DistributedDataParallel(backbone)
    network.register_comm_hook(None, lambda _, bucket: _sum_over_ranks(bucket.buffer()))
    return network


def _sum_over_ranks(gradients: Tensor) -> torch.futures.Future[Tensor]:
    work = dist.all_reduce(gradients, async_op=True)
    assert work is not None
    return work.get_future().then(lambda future: future.value()[0])
