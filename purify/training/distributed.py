"""Several processes as one training: how they meet, and what each does with its part.

The backbone is replicated (DDP), the head's classes are divided, and both see the whole batch: embeddings travel to
every rank, the softmax is taken over all of them (`purify.models.sharded_softmax`), and batch normalization has the
statistics of the whole batch (`purify.models.batchnorm`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from purify.errors import RankLostError
from purify.models.batchnorm import join_batchnorm
from purify.models.precision import default_device
from purify.models.process_group import ALONE, World

#: Where the ranks of this package meet: a ``file://`` or ``tcp://`` address. A cluster's launcher gives
#: MASTER_ADDR and MASTER_PORT instead.
RENDEZVOUS = "PURIFY_RENDEZVOUS"
_LOST = ("gloo", "nccl", "connection", "broken pipe", "store")


def is_rank(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started as one of several (by `purify.training.launch`, torchrun or the like)."""
    return "RANK" in environment and int(environment.get("WORLD_SIZE", "1")) > 1


def rank_device() -> torch.device:
    """The device of this process: of several on a machine with GPUs, each has its own."""
    device = default_device()
    if device.type == "cuda" and is_rank():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", os.environ["RANK"])) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    return device


@contextmanager
def connected(device: torch.device) -> Iterator[World]:
    """Meet the other ranks, as the environment says; alone if it says nothing.

    Raises
    ------
    RankLostError
        If another rank ends before this one.
    """
    if not is_rank():
        yield ALONE
        return
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=os.environ.get(RENDEZVOUS, "env://"),
            rank=world.rank,
            world_size=world.size,
        )
        yield world
        dist.barrier()  # none leaves while another still talks to it
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or any(word in str(error).lower() for word in _LOST):
            raise RankLostError(f"rank {world.rank}: another rank ended, or can't be reached ({error})") from error
        raise
    dist.destroy_process_group()


def across(backbone: nn.Module, world: World, *, sync_batchnorm: bool) -> nn.Module:
    """`backbone` as one of the replicas; its gradients are added up over the ranks after each backward pass.

    They are added, where DDP's default is their mean: the loss is a mean over the whole batch already.
    """
    if world.size == 1:
        return backbone
    if sync_batchnorm:
        join_batchnorm(backbone, world)
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return backbone
    network = DistributedDataParallel(backbone)
    network.register_comm_hook(None, lambda _, bucket: _sum_of_ranks(bucket.buffer()))
    return network


def _sum_of_ranks(gradients: Tensor) -> torch.futures.Future[Tensor]:
    work = dist.all_reduce(gradients, async_op=True)
    assert work is not None
    return work.get_future().then(lambda future: future.value()[0])
